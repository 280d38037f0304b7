"""A number is never stale: what changed runs again, nothing else does, and the reason is told."""

import dataclasses
import importlib
import json

import pytest
from user_lab import ALL_REUSED, ROWS, ablation, edit, finish, lines, told

from prismlab.core import code_fingerprint
from prismlab.experiments import main
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import fingerprints


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
        "judge of 'own loss', 'one', 'both' (seed 0): runs; adlab/judge.py changed",
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
    for name, skipped in describe.WITHOUT_EFFECT.items():
        module, _, kind = name.rpartition(".")
        found = getattr(importlib.import_module(module), kind)
        assert set(skipped) <= {field.name for field in dataclasses.fields(found)}


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


def test_the_renderer_and_the_training_loop_are_part_of_every_address(lab):
    (first, *_) = lines(ablation(lab))
    code = first.stages[0].inputs["code"]
    for name in ("data.world.render", "core.train.steps.step", "experiments.run.initial_state",
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
    for file, shown in [("", "unchanged: "), ("report.html", "written: ")]:
        if file:  # the page is made again
            (tmp_path / "w" / file).write_bytes(b" " + (tmp_path / "w" / file).read_bytes())
        code_fingerprint.forget()
        assert main.main(words) == 0
        said = capsys.readouterr().out
        assert "all 3 stages and 3 evaluations are reused" in said
        assert shown in said
        assert not (tmp_path / "w/report.html").read_bytes().startswith(b" ")
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
    # A second work directory, on the first one as its store.
    code_fingerprint.forget()
    assert main.main([*words[:-1], str(tmp_path / "v"), "--store", str(tmp_path / "w")]) == 0
    assert "all 3 stages and 3 evaluations are reused" in capsys.readouterr().out
    assert not (tmp_path / "v/stages").exists()
    rows = [json.loads((tmp_path / name / "table.json").read_text())["rows"] for name in ("v", "w")]
    assert rows[0] == rows[1]
