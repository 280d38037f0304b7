"""A mark of the end alone proves nothing: the last checkpoint must be there, and be the one meant."""

import pathlib
import shutil

import cli
import pytest

from prismlab.core import errors
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments import console, main
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.preview import explain
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.run import engine
from prismlab.experiments.store import store


@pytest.mark.long
def test_a_finished_stage_without_its_last_checkpoint_resumes(whole, tmp_path):
    copy = pathlib.Path(shutil.copytree(whole, tmp_path / "w"))
    before = cli.digest(copy)
    (stage1,) = copy.glob("stages/stage1-*")
    shutil.rmtree(stage1 / "checkpoints/8")
    root = strict.load(cli.QUICK, cli.LONG).root
    found = stages.lines({"tiny": root}, (0,), fingerprints.Fingerprints(cli.CACHE))
    said = "done.json says step 8, but that checkpoint is missing; training resumes at step 7"
    assert f"stage1 (seed 0): runs; {said}" in explain.text(found, store.of(copy))
    done = cli.train(copy, *cli.LONG)
    assert done.returncode == 0, done.stderr
    assert f"stage1 (seed 0): {said}" in done.stdout
    assert "resumed at step 7" in done.stdout
    assert cli.digest(copy) == before


@pytest.mark.parametrize("content", [b"", b"{", b'{"step": 8}'])
def test_a_damaged_mark_of_the_end_is_written_anew(whole, tmp_path, content):
    copy = pathlib.Path(shutil.copytree(whole, tmp_path / "w"))
    (done,) = copy.glob("stages/stage1-*/done.json")
    kept = done.read_bytes()
    done.write_bytes(content)
    (planned, _) = stages.plan(strict.load(cli.QUICK, cli.LONG).root, 0)
    engine.Engine(copy, cli.CACHE, console.silent()).train(planned)
    assert done.read_bytes() == kept


def test_a_stage_that_lost_its_last_checkpoint_teaches_nobody(whole, tmp_path):
    copy = pathlib.Path(shutil.copytree(next(whole.glob("stages/stage1-*")), tmp_path / "stage"))
    assert stage_folder.left_of(copy) is None
    shutil.rmtree(copy / "checkpoints/8")
    with pytest.raises(
        errors.UserError, match=r"done\.json says step 8, but the newest checkpoint is step 7"
    ):
        stage_folder.read(copy)
    assert main.main(["convert", str(copy), str(tmp_path / "x.bundle")]) == 2
    shutil.rmtree(copy / "checkpoints")
    assert "trained again" in stage_folder.left_of(copy)
    assert stage_folder.left_of(tmp_path / "nothing") == ""
