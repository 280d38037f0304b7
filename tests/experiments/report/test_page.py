"""The page of an ablation: its sections, the words of each, and how a browser shows it."""

import dataclasses
import json
import re
import shutil
import subprocess

import example_tables
import pytest

from prismlab.core.io import checked_json
from prismlab.experiments.report import html_report, page_facts, stage_logs
from prismlab.experiments.results import gather, page_content, row_changes
from prismlab.experiments.statistics import variance_split

STAGE = {"class": "prismlab.experiments.recipe.recipe.Stage", "steps": 8}
CONFIG = {
    "name": "smoke",
    "compare_with": ["base", "base, longer"],
    "claims": [list(claim) for claim in example_tables.CLAIMS],
    "seeds": [0, 1, 2],
    "base": {
        "stages": [
            {
                **STAGE,
                "name": "stage1",
                "objectives": {"a": {"partial of": "prismlab.objectives.masked.Masked"}},
            }
        ],
        "tasks": {},
    },
    "rows": {
        "base": {},
        "base, longer": {"stage1.steps": 16, "stages": ["stage1"]},
        "new_row": {"stage1.objectives": {"a": {"partial of": "prismlab.objectives.token_shuffle.Shuffle"}}},
    },
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Return a work directory of three rows and seeds as `ablate` writes it, without checkpoints."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "scores").mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "config.gin").write_text("x = 1\n" + "a" * 300)
    found, items = example_tables.results_and_items()
    results = []
    for number, each in enumerate(found):
        stage = f"stage1-s{each.seed}-{number:016x}"
        (folder / "stages" / stage).mkdir(parents=True)
        events = [
            {"step": step, "time": 3600.0 * step, "kind": "train", "loss": 1 / step, "gradient_norm": 2.0,
             "loss/a": 1 / step, "loss/b": 2 / step, "objective_gradient_norm/a": 1.0,
             "objective_gradient_cosine/a and b": 0.5 - number / 9} for step in (1, 2, 3)
        ]  # fmt: skip
        events += [{"step": 3, "time": 0.0, "kind": "collapse", "reason": "rank fell"}] * (number == 1)
        lines = "".join(json.dumps(event) + "\n" for event in events)
        (folder / "stages" / stage / "events.jsonl").write_text(lines)
        (folder / "stages" / stage / "stage.json").write_text(json.dumps({"mesh": {"data": 2, "model": 3}}))
        (folder / "stages" / stage / "bad_clips.jsonl").write_text("{}\n{}\n" * (number == 2))
        metrics = {}
        for metric, score in each.metrics.items():
            kept = items[each.label, each.seed, metric]
            outcomes = {"keys": kept.keys, "groups": kept.groups, "outcomes": [kept.values.tolist()]}
            address = f"{2 * number + (metric == 'motion'):016x}"
            plain = {"value": score.value, "n": score.n, "protocol": dict(score.protocol)}
            file = {"metrics": {metric: {**plain, "outcomes": outcomes}}}
            (folder / "scores" / f"{address}.json").write_text(json.dumps(checked_json.sealed(file)))
            metrics[metric] = {**plain, "items": {"address": address, "metric": metric}}
        results.append({"label": each.label, "seed": each.seed, "metrics": metrics, "stages": [stage]})
    (folder / "results.json").write_text(json.dumps(results))
    gather.tables(folder)
    return folder


@pytest.fixture(scope="module")
def page(workdir):
    return (workdir / "report.html").read_text(encoding="utf-8")


def test_the_sections_come_in_the_readers_order(page):
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "Differences", "Table", "What each row changed", "Where the uncertainty comes from",
        "Score against compute", "Curves", "Clips", "Health", "Protocols", "Certificate",
        "About this experiment",
    ]  # fmt: skip
    assert page.index('<ol class="verdicts">') < page.index("<h2>")
    assert page.count("new seeds and new clips of the same data; hyper-parameters not re-tuned per row") == 2


def test_bold_is_what_is_claimed_and_separable_and_grey_what_is_exploratory(page):
    assert len(re.findall(r'<td class="separable">', page)) == 1
    assert len(re.findall(r'<td class="claimed">', page)) == 1
    (exploratory,) = re.findall(r'<td class="grey">(\+[^<]*)<', page)  # "base, longer" minus "base"
    assert exploratory.startswith("+0.09")
    assert len(re.findall(r'<td class="grey">0', page)) == 3  # means of "species", which no claim is about


def test_each_row_says_what_it_changed(workdir):
    changes = row_changes.read(workdir / "config.json", example_tables.ROWS, "smoke.gin:7")
    assert [(change.row, change.lines) for change in changes] == [
        ("base", ()),
        ("base, longer", ("stage1.steps: 8 → 16", "stages: stage1")),
        ("new_row", ("stage1.objectives.a: masked.Masked → token_shuffle.Shuffle",)),
    ]
    assert changes[0].origin == "smoke.gin:7"


def test_costs_health_and_clips_come_from_the_files(workdir, page):
    # Two hours between the first and the last line, on 2 x 3 devices.
    assert re.search(r'<td class="">12</td>', page)
    assert "stage1 (seed 0) of base, longer: collapsed: rank fell" in page
    assert "stage1 (seed 0) of new_row: 2 bad clips" in page
    assert "Where new_row and base disagree in motion" in page
    found = gather.again(workdir)
    facts = page_content.collect(workdir, workdir, found.table, found.results, found.items, [])
    first, _ = facts.disagreements
    assert sum(first.counts) == 40
    gains = [clip.ours - clip.theirs for clip in first.gained]
    assert gains == sorted(gains, reverse=True)
    ours, theirs = (
        sum(found.items[row, seed, "motion"].values for seed in range(3)) / 3 for row in ("new_row", "base")
    )
    assert gains[0] == pytest.approx(float((ours - theirs).max()))


def test_the_variance_is_split_into_seeds_heads_and_clips():
    table = example_tables.table()
    claim = table.claims[0]
    split = variance_split.of(claim)
    assert (split.heads, split.heads_known) == (0.0, False)
    assert split.seeds == pytest.approx(
        claim.seed_variance / 3 / (claim.seed_variance / 3 + claim.clip_variance)
    )
    assert sum(split.percent) == 100
    known = {"seed_variance": 0.03, "clip_variance": 0.01, "head_variance": 0.015}
    heads = variance_split.of(dataclasses.replace(claim, **known))  # heads are a part of a seed's variance
    assert (heads.seeds, heads.heads, heads.clips) == pytest.approx((0.25, 0.25, 0.5))
    assert variance_split.of(example_tables.table(seeds=1).claims[0]) is None


def test_pictures_of_clips_are_embedded_and_words_of_strangers_stay_words(tmp_path):
    table = example_tables.table()
    clip = page_facts.Disagreement("<script>", 1.0, 0.0, b"\x89PNG")
    facts = page_facts.Facts(
        disagreements=(page_facts.Disagreements("<b>", "<i>", "m", (clip,), (), (1, 0, 0)),),
        seen=(page_facts.Seen("stage2", ("<row>",), "<caption>", b"\x89PNG"),),
        certificates=(("<name>", "<text>"),),
        certificate="certificate.json",
    )
    html_report.write_html(table, [], tmp_path / "report.html", facts)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,iVBORw==") == 2
    for word in ("<script>", "<caption>", "<row>", "<name>", "<text>"):
        assert word not in page
    assert '<a href="certificate.json">' in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_errors_and_without_scrolling_sideways(workdir, page, tmp_path, width):
    # The page runs no script; a copy without its policy measures itself.
    ruler = (
        "<script>document.title = [document.documentElement.scrollWidth, innerWidth,"
        " [...document.images].filter(each => !each.naturalWidth).length].join('/')</script>"
    )
    measured = re.sub(r"<meta http-equiv=.*?>", "", page).replace("</body>", ruler + "</body>")
    (tmp_path / "page.html").write_text(measured, encoding="utf-8")
    # A window has a least width, so the page lies in a frame of the width that is tested.
    frame = f'<iframe src="page.html" style="width: {width}px; height: 900px; border: 0"></iframe>'
    frame += (
        f'<iframe src="{(workdir / "report.html").as_uri()}"></iframe>'  # with its policy, for its errors
    )
    reader = "<script>onload = () => document.title = frames[0].document.title</script>"
    (tmp_path / "frame.html").write_text(frame + reader)
    command = [
        "chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu",
        "--allow-file-access-from-files", "--enable-logging=stderr", "--v=0", "--window-size=1400,900",
        f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / "frame.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r"<title>(\d+)/(\d+)/(\d+)</title>", done.stdout)
    assert found, done.stdout[-500:]
    scroll, inner, broken = map(int, found.groups())
    assert (scroll, inner, broken) == (width, width, 0)
    assert "CONSOLE" not in done.stderr


def test_losses_come_first_whichever_row_has_them():
    def log(row, *terms):
        curves = {term: ((1.0,), (1.0,)) for term in terms}
        return stage_logs.StageLog((row,), "stage2", 0, "events.jsonl", 1, 0.0, (), 0, None, None, curves)

    found = stage_logs.curves(
        [log("a", "loss", "rank"), log("b", "loss/global", "objective_gradient_norm/global")]
    )
    assert [curve.term for curve in found] == [
        "loss",
        "loss/global",
        "objective_gradient_norm/global",
        "rank",
    ]
