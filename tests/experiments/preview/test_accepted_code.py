"""`--accept-code` reuses what differs in code only, and says so wherever the numbers are shown."""

import json

import cli
import pytest
from user_lab import ROWS, ablation, edit, finish

from prismlab.core import code_fingerprint, errors
from prismlab.experiments.launch import prepared, units
from prismlab.experiments.preview import accepted_code, explain
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.report import latex_table
from prismlab.experiments.statistics import cells, results_table, table_builder
from prismlab.experiments.store import store, work_directory

LATER = ROWS.replace("'stage1.objectives'", "'stage1.steps': 6, 'stage1.objectives'")


@pytest.fixture
def done(lab, tmp_path):
    """Return the folder of the user's package, after a finished ablation and an edit of a loss."""
    finish(tmp_path, ablation(lab))
    edit(lab / "shared.py", "1.0", "2.0")
    return lab


def accepted(tmp_path, root, *names: str) -> list[stages.Line]:
    code_fingerprint.forget()
    kept = accepted_code.Accepted(names, store.of(tmp_path))
    found = stages.lines(root.experiments(), root.seeds, fingerprints.Fingerprints(cli.CACHE, kept))
    kept.check(found)
    return found


def told(tmp_path, lines) -> list[str]:
    return [line for line in explain.text(lines, store.of(tmp_path)) if not line.endswith(": reused")]


def test_a_stage_of_other_code_is_reused_with_what_follows(done, tmp_path):
    rows = ROWS + "'both, own loss': {'stage1.objectives': {'own': @losses.build}},"
    edit(done / "shared.py", "2.0", "1.0")
    finish(tmp_path, ablation(done, rows))
    edit(done / "shared.py", "1.0", "2.0")
    lines = accepted(tmp_path, ablation(done, rows), "stage1")
    assert told(tmp_path, lines) == [
        "stage1 of 'own loss', 'both, own loss' (seed 0): reused; accepted: adlab/shared.py changed",
        "all 4 stages and 4 evaluations are reused",
    ]
    assert [each.accepted for each in lines[0].stages] == [("adlab.shared",)]
    assert not any(each.accepted for each in lines[1].stages)  # a stage of the same code


def test_the_record_of_the_stage_and_the_table_say_so(done, tmp_path):
    line = accepted(tmp_path, ablation(done), "stage1")[0]
    for _ in range(2):
        accepted_code.note(line.stages, store.of(tmp_path))
    facts = work_directory.read_json(tmp_path / "stages" / line.stages[0].folder / "stage.json")
    assert facts["accepted_code"] == ["adlab/shared.py"]
    files = accepted_code.files(line.stages)
    scores = {"score": results_table.Score(0.5)}
    results = [results_table.Result("own loss", seed, scores, (), files) for seed in (0, 1)]
    table = table_builder.build_table([*results, results_table.Result("one", 0, scores)])
    wanted = "stage1 of 'own loss' was trained before adlab/shared.py changed; the user accepted it"
    wanted += " (--accept-code)"
    assert cells.footnotes(table)[1][0] == ("!", wanted)
    assert "before adlab/shared.py changed; the user accepted it" in latex_table.text(table)
    results_table.write_table(table, tmp_path / "table.json")
    assert results_table.read_table(tmp_path / "table.json").accepted_code == (wanted,)


def test_the_nearest_of_several_is_taken(done, tmp_path):
    finish(tmp_path, ablation(done))  # with shared.py as it is now
    edit(done / "losses.py", "shared.WEIGHT", "3 * shared.WEIGHT")
    (found,) = accepted(tmp_path, ablation(done), "stage1")[0].stages
    assert found.accepted == ("adlab.losses",)


@pytest.mark.parametrize(
    ("rows", "name", "message"),
    [
        (LATER, "stage1", r"differs from it in code only \(the nearest: stage1.steps: 4 -> 6"),
        (ROWS, "stage7", "--accept-code stage7: expected one of the stages stage1, stage2"),
    ],
)
def test_what_differs_otherwise_is_refused(done, tmp_path, rows, name, message):
    only = rows.replace("'one': {'stages': ('stage1',)},\n", "").replace("'both': {},\n", "")
    with pytest.raises(errors.UserError, match=message):
        accepted(tmp_path, ablation(done, only if name == "stage1" else rows), name)


def test_without_a_finished_stage_it_is_refused(done, tmp_path):
    with pytest.raises(errors.UserError, match=r"\(there is no finished stage yet\); drop the option"):
        accepted(tmp_path / "empty", ablation(done), "stage1")


def test_an_edited_record_stands_for_nothing(done, tmp_path):
    for path in tmp_path.glob("stages/stage1-*/stage.json"):
        facts = json.loads(path.read_text())
        facts["inputs"]["code"]["adlab.shared"] = "0"
        path.write_text(json.dumps(facts))
    line = accepted(tmp_path, ablation(done), "stage2")
    assert not any(each.accepted for each in line[0].stages)
    with pytest.raises(errors.UserError, match=r"in code only \(the nearest: stage1\.towers"):  # stage 2
        accepted(tmp_path, ablation(done, "'own': {'stages': ('stage1',)}"), "stage1")


def test_units_elsewhere_accept_the_same(done, tmp_path):
    root = ablation(done)
    accepted(tmp_path, root, "stage1")
    prepared.record(tmp_path, units.units(root), ["stage1"])
    found = units.units(root, prepared.prints(tmp_path, cli.CACHE))
    assert all(units.is_done(unit, store.of(tmp_path)) for unit in found)
    assert not all(units.is_done(unit, store.of(tmp_path)) for unit in units.units(root))
