"""A number is never stale: what changed runs again, nothing else does, and the reason is told."""

import dataclasses
import json
import pathlib
import shutil
import sys
import textwrap

import cli
import pytest

from prismlab.core import code_fingerprint, errors
from prismlab.data.loader import loader, source
from prismlab.data.records import shards
from prismlab.data.video import folder
from prismlab.data.world import world
from prismlab.experiments import main
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import describe, fingerprints, recipe, stages
from prismlab.experiments.run import explain

LAB = {
    "__init__.py": "",
    "losses.py": '''
        """A loss of the user's own."""
        from prismlab.objectives import contrastive
        from adlab import shared

        def build(*, dims, key):
            """Return the loss."""
            return contrastive.Contrastive(weight=shared.WEIGHT, dims=dims, key=key)
        ''',
    "shared.py": "WEIGHT = 1.0  # of the loss\n",
    "judge.py": '''
        import dataclasses
        from prismlab.experiments.tasks import task

        @dataclasses.dataclass(frozen=True)
        class Judge:
            """A score that needs no clips."""
            gain: float = 1.0

            def __call__(self, towers, *, seed, cache):
                return {"score": task.Score(0.5 * self.gain, 4, {})}
        ''',
}
ABLATION = """
from adlab import judge
from adlab import losses
JUDGE = @judge.Judge()
recipe.Experiment.tasks = {'judge': %JUDGE}
recipe.Ablation.name = 'a'
recipe.Ablation.base = @recipe.Experiment()
recipe.Ablation.rows = {ROWS}
"""
ROWS = """
    'own loss': {'stages': ('stage1',), 'stage1.objectives': {'own': @losses.build}},
    'one': {'stages': ('stage1',)},
    'both': {},
"""


@pytest.fixture
def lab(tmp_path, monkeypatch) -> pathlib.Path:
    """Return the folder of a user's package `adlab`, importable."""
    for name, content in LAB.items():
        path = tmp_path / "adlab" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(content))
    monkeypatch.syspath_prepend(tmp_path)
    code_fingerprint.forget()
    yield tmp_path / "adlab"
    code_fingerprint.forget()
    for name in [name for name in sys.modules if name.partition(".")[0] == "adlab"]:
        del sys.modules[name]


def edit(path: pathlib.Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def ablation(lab: pathlib.Path, rows: str = ROWS, *bindings: str) -> recipe.Ablation:
    file = lab.parent / "ablation.gin"
    file.write_text(pathlib.Path(cli.TINY).read_text() + ABLATION.replace("ROWS", rows))
    return strict.load(str(file), bindings).root


def finish(workdir: pathlib.Path, root: recipe.Ablation) -> None:
    """Write what a finished run leaves, without training."""
    for line in lines(root):
        for each in line.stages:
            home = workdir / "stages" / each.folder
            (home / "checkpoints" / str(each.stage.steps)).mkdir(parents=True, exist_ok=True)
            (home / "stage.json").write_text(json.dumps({"inputs": dict(each.inputs)}))
            (home / "done.json").write_text(json.dumps({"step": each.stage.steps, "digest": ""}))
        (workdir / "scores").mkdir(exist_ok=True)
        for each in line.evaluations:
            path = workdir / "scores" / f"{each.address}.json"
            path.write_text(json.dumps({"name": each.name, "inputs": dict(each.inputs), "metrics": {}}))


def lines(root: recipe.Ablation) -> list[stages.Line]:
    """Resolve as a new process would."""
    code_fingerprint.forget()
    prints = fingerprints.Fingerprints(cli.CACHE)
    return stages.lines(root.experiments(), root.seeds, prints)


def told(workdir: pathlib.Path, root: recipe.Ablation) -> list[str]:
    """Return the lines about what runs."""
    found = explain.text(lines(root), workdir)
    return [line for line in found if not line.endswith(": reused")]


ALL_REUSED = ["all 3 stages and 3 evaluations are reused"]


def test_a_finished_ablation_is_reused_whole(lab, tmp_path):
    finish(tmp_path, ablation(lab))
    assert told(tmp_path, ablation(lab)) == ALL_REUSED


@pytest.mark.parametrize("file", ["losses.py", "shared.py"])
def test_an_edited_loss_reruns_the_stages_that_use_it(lab, tmp_path, file):
    """Also where the line is in a module that the loss imports."""
    finish(tmp_path, ablation(lab))
    old, new = ("WEIGHT = 1.0", "WEIGHT = 2.0") if file == "shared.py" else ("shared.WEIGHT", "2.0")
    edit(lab / file, old, new)
    assert told(tmp_path, ablation(lab)) == [
        f"stage1 of 'own loss' (seed 0): runs; adlab/{file} changed",
        "1 of 3 stages and 1 of 3 evaluations run; the rest is reused",
    ]


def test_an_edited_comment_or_docstring_reruns_nothing(lab, tmp_path):
    finish(tmp_path, ablation(lab))
    edit(lab / "shared.py", "# of the loss", "# of the loss, as in the paper")
    edit(lab / "losses.py", '"""Return the loss."""', '"""Return the loss, built."""')
    assert told(tmp_path, ablation(lab)) == ALL_REUSED


def test_a_changed_parent_reruns_what_follows(lab, tmp_path):
    rows = "'both': {'stage1.objectives': {'own': @losses.build}}"
    finish(tmp_path, ablation(lab, rows))
    edit(lab / "shared.py", "1.0", "2.0")
    assert told(tmp_path, ablation(lab, rows)) == [
        "stage1 (seed 0): runs; adlab/shared.py changed",
        "stage2 (seed 0): runs; follows stage1",
        "2 of 2 stages and 1 of 1 evaluations run; the rest is reused",
    ]


def test_an_edited_evaluation_reruns_alone(lab, tmp_path):
    finish(tmp_path, ablation(lab))
    edit(lab / "judge.py", "0.5 * self.gain", "0.25 * self.gain")
    assert told(tmp_path, ablation(lab)) == [
        "judge of 'own loss' (seed 0): runs; adlab/judge.py changed",
        "judge of 'one' (seed 0): runs; adlab/judge.py changed",
        "judge of 'both' (seed 0): runs; adlab/judge.py changed",
        "0 of 3 stages and 3 of 3 evaluations run; the rest is reused",
    ]


def test_a_row_that_is_added_runs_alone_and_a_dropped_or_renamed_one_runs_nothing(lab, tmp_path):
    finish(tmp_path, ablation(lab))
    more = told(tmp_path, ablation(lab, ROWS + "'longer': {'stages': ('stage1',), 'stage1.steps': 6},"))
    assert more == [
        "stage1 of 'longer' (seed 0): runs; stage1.steps: 4 -> 6",
        "1 of 4 stages and 1 of 4 evaluations run; the rest is reused",
    ]
    renamed = ROWS.replace("'one'", "'stage 1 only'")
    assert told(tmp_path, ablation(lab, renamed)) == ALL_REUSED
    assert told(tmp_path, ablation(lab, "'both': {}")) == ["all 2 stages and 1 evaluations are reused"]


def test_new_seeds_and_a_new_stage_are_told_as_such(lab, tmp_path):
    assert told(tmp_path, ablation(lab, "'both': {}", "recipe.Ablation.seeds=(0, 1)")) == [
        "stage1 (seeds 0, 1): runs; new",
        "stage2 (seeds 0, 1): runs; new",
        "4 of 4 stages and 2 of 2 evaluations run; the rest is reused",
    ]
    finish(tmp_path, ablation(lab, "'both': {}"))
    assert told(tmp_path, ablation(lab, "'both': {}", "recipe.Ablation.seeds=(0, 1, 2)")) == [
        "stage1 (seeds 1, 2): runs; new seed",
        "stage2 (seeds 1, 2): runs; new seed",
        "4 of 6 stages and 2 of 3 evaluations run; the rest is reused",
    ]


@pytest.mark.parametrize(
    "binding",
    [
        "recipe.Ablation.compare_with=('one',)",
        "loop.Settings.log_every=3",
        "loop.Settings.checkpoint_every=7",
        "loader.Line.prefetch=1",
        "loader.Line.threads=1",
        "loader.Line.workers=1",
        "loader.Line.cache_megabytes=1",
        "loader.Line.budget_megabytes=999",
        "source.Rendered.records_per_shard=7",
    ],
)
def test_what_cannot_change_a_number_reruns_nothing(lab, tmp_path, binding):
    finish(tmp_path, ablation(lab))
    assert told(tmp_path, ablation(lab, ROWS, binding)) == ALL_REUSED


def test_the_fields_without_effect_exist():
    kinds = {f"{each.__module__}.{each.__qualname__}": each
             for each in (recipe.Stage, loader.Line, source.Rendered, source.Folder)}  # fmt: skip
    assert set(describe.WITHOUT_EFFECT) == set(kinds)
    for name, skipped in describe.WITHOUT_EFFECT.items():
        assert set(skipped) <= {field.name for field in dataclasses.fields(kinds[name])}


def test_a_setting_of_jax_is_part_of_the_address_and_named(lab, tmp_path, monkeypatch):
    finish(tmp_path, ablation(lab, "'one': {'stages': ('stage1',)}"))
    changed = {**fingerprints.settings(), "JAX_DEFAULT_PRNG_IMPL": "rbg"}
    monkeypatch.setattr(fingerprints, "settings", lambda: changed)
    assert told(tmp_path, ablation(lab, "'one': {'stages': ('stage1',)}"))[0] == (
        "stage1 (seed 0): runs; JAX_DEFAULT_PRNG_IMPL: threefry2x32 -> rbg"
    )


def test_the_settings_of_jax_exist():
    import jax

    for name in fingerprints.JAX_SETTINGS:
        assert hasattr(jax.config, name.lower())


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> tuple[pathlib.Path, pathlib.Path]:
    """Return a folder of videos and shards of it."""
    cache = tmp_path_factory.mktemp("packed")
    source.Rendered(world.World(clips=6, resolution=16, frames=2), workers=0).open(cache)
    return next(cache.glob("world-*")), next(cache.glob("shards-*"))


def repacked(videos: pathlib.Path, target: pathlib.Path, caption: str | None = None) -> None:
    records = list(folder.read_folder(videos))
    if caption is not None:
        records[3] = dataclasses.replace(records[3], caption=caption)
    shards.write_shards(records, target, 4)


def of_data(lab, kind: str, place: pathlib.Path) -> recipe.Ablation:
    text = pathlib.Path(cli.TINY).read_text()
    start, end = text.index("SOURCE = "), text.index("TOKENIZER = ")
    text = text[:start] + f"SOURCE = @source.{kind}()\nsource.{kind}.path = '{place}'\n" + text[end:]
    file = lab.parent / "data.gin"
    file.write_text(text + ABLATION.replace("ROWS", "'both': {}").replace("from adlab import losses\n", ""))
    return strict.load(str(file)).root


@pytest.mark.parametrize("kind", ["Shards", "Shards without hashes", "Folder"])
def test_changed_data_reruns_what_reads_it(lab, packed, tmp_path, kind):
    home = tmp_path / "data"
    if kind == "Folder":
        shutil.copytree(packed[0], home)
    else:
        repacked(packed[0], home)

    def forget_hashes() -> None:
        if kind.endswith("hashes"):
            manifest = json.loads((home / "manifest.json").read_text())
            for shard in manifest["shards"]:
                del shard["sha256"]
            (home / "manifest.json").write_text(json.dumps(manifest))

    forget_hashes()
    root = of_data(lab, kind.split()[0], home)
    finish(tmp_path / "w", root)
    (path,) = [
        each for each in home.rglob("*") if each.name in ("captions.jsonl", "shard-00000.array_record")
    ]
    path.touch()  # the same bytes
    assert told(tmp_path / "w", root) == ["all 2 stages and 1 evaluations are reused"]
    if kind == "Folder":
        video = sorted((home / "videos").iterdir())[3]
        video.write_bytes(video.read_bytes()[:-1] + b"!")
    else:
        shutil.rmtree(home)
        repacked(packed[0], home, caption="another caption")
        forget_hashes()
    content = "content of data.sources.clean changed, content of data.tokenizer.sources[0] changed"
    assert told(tmp_path / "w", root) == [
        f"stage1 (seed 0): runs; {content}",
        f"stage2 (seed 0): runs; {content}",
        "2 of 2 stages and 1 of 1 evaluations run; the rest is reused",
    ]


def test_data_that_changes_during_a_run_is_not_used(lab, packed, tmp_path):
    home = tmp_path / "data"
    repacked(packed[0], home)
    root = of_data(lab, "Shards", home)
    prints = fingerprints.Fingerprints(cli.CACHE)
    planned = stages.lines(root.experiments(), root.seeds, prints)[0].stages[0]
    known = planned.inputs["data"]
    prints.check(stages.data_of(planned.stage), known, "stage1")
    shutil.rmtree(home)
    repacked(packed[0], home, caption="another caption")
    with pytest.raises(errors.UserError, match=r"stage1: the content of data\.sources\.clean.*run the same"):
        prints.check(stages.data_of(planned.stage), known, "stage1")


@dataclasses.dataclass(frozen=True)
class Silent:
    """A source that does not state its content."""

    path: str = "somewhere"

    def open(self, cache):
        raise AssertionError("not opened for an address")


def test_a_source_that_states_no_content_is_named(lab, tmp_path):
    root = ablation(lab, "'one': {'stages': ('stage1',)}")
    stage = root.base.stages[0]
    data = dataclasses.replace(stage.data, sources={"clean": Silent()})
    prints = fingerprints.Fingerprints(tmp_path)
    assert prints.data(dataclasses.replace(stage, data=data)) == {}
    (line,) = [line for line in explain.text([], tmp_path, prints.unstated) if "content_digest" in line]
    assert line.startswith(f"{__name__}.Silent has no content_digest")


def test_a_file_named_in_the_configuration_counts_by_content(lab, tmp_path):
    model = tmp_path / "words.model"
    model.write_bytes(b"one")
    line = ablation(lab).base.stages[0].data
    line = dataclasses.replace(
        line, tokenizer=dataclasses.replace(line.tokenizer, sources=(), model=str(model))
    )
    found = fingerprints.Fingerprints(tmp_path / "cache").data(line)
    assert set(found) == {"tokenizer.model"}
    model.write_bytes(b"two")
    assert fingerprints.Fingerprints(tmp_path / "cache").data(line) != found


def test_the_renderer_and_the_training_loop_are_part_of_every_address(lab):
    (first, *_) = lines(ablation(lab))
    code = first.stages[0].inputs["code"]
    for name in ("data.world.render", "core.train.step", "experiments.run.initial_state",
                 "data.loader.stream", "core.towers.video_encoder", "objectives.contrastive"):  # fmt: skip
        assert f"prismlab.{name}" in code
    for name in ("run.engine", "console", "report.results_table", "launch.launch", "commands.ablate"):
        assert f"prismlab.experiments.{name}" not in code


def test_inputs_are_written_beside_results_and_a_second_run_trains_nothing(lab, tmp_path, capsys):
    """Whole commands, with stages of no steps: nothing is compiled for training."""
    ablation(lab)
    words = ["ablate", str(lab.parent / "ablation.gin"), "STEPS=0", "--workdir", str(tmp_path / "w")]
    assert main.main(words) == 0
    capsys.readouterr()
    stage = next((tmp_path / "w/stages").glob("stage2-*/stage.json"))
    inputs = json.loads(stage.read_text())["inputs"]
    assert inputs["configuration"]["steps"] == 0
    assert "prismlab.objectives.masked" in inputs["code"]
    assert describe.address(inputs) == stage.parent.name.rpartition("-")[2]
    score = json.loads(next((tmp_path / "w/scores").glob("*.json")).read_text())
    assert score["metrics"]["score"]["value"] == 0.5
    assert "adlab.judge" in score["inputs"]["code"]
    code_fingerprint.forget()
    assert main.main(words) == 0
    assert "all 3 stages and 3 evaluations are reused" in capsys.readouterr().out
    edit(lab / "shared.py", "1.0", "2.0")
    code_fingerprint.forget()
    assert main.main([*words, "--dry-run"]) == 0
    dry = capsys.readouterr().out
    assert "stage1 of 'own loss' (seed 0): runs; adlab/shared.py changed" in dry
    code_fingerprint.forget()
    assert main.main(words) == 0
    out = capsys.readouterr().out
    assert "stage1 of 'own loss' (seed 0): runs; adlab/shared.py changed" in out
    assert out.count("randomly initialised") == 1
