"""A stage of one's own is named wherever a released model is: embed, search, convert, inspect, load."""

import dataclasses
import json
import logging
import shutil
import types

import cli
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import prismlab
from prismlab.core import errors, setup, trees
from prismlab.core.towers import video, video_encoder
from prismlab.core.train.checkpoints import stage_folder
from prismlab.core.weights import released
from prismlab.data.video import encode
from prismlab.experiments import console, main
from prismlab.experiments.encoders import frozen_encoder, named_model
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.recipe.checks import shapes
from prismlab.experiments.released import embedding_archive
from prismlab.experiments.run import engine

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Return a folder of two clips."""
    folder = tmp_path_factory.mktemp("clips")
    for name in "ab":
        video = np.random.default_rng(ord(name)).integers(0, 255, (6, 16, 16, 3), np.uint8)
        (folder / f"{name}.mp4").write_bytes(encode.encode(video, 4))
    return folder


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Return the work directory of tiny.gin, whose towers are the shipped ones, with the initial weights."""
    workdir = tmp_path_factory.mktemp("real") / "w"
    none = ("stage1/recipe.Stage.steps=0", "stage2/recipe.Stage.steps=0")
    done = cli.run("train", cli.TINY, *none, "--workdir", workdir)
    assert done.returncode == 0, done.stderr
    return workdir


@pytest.fixture(scope="module")
def stage1(real):
    """Return the folder of a stage with towers of clips and captions."""
    (folder,) = (real / "stages").glob("stage1-s0-*")
    return folder


def test_a_stage_is_embedded_and_searched_by_either_name(real, stage1, clips, tmp_path, capsys):
    found = []
    for name in (stage1, real / "stage1"):
        out = tmp_path / "emb.npz"
        assert main.main(["embed", str(clips), "--model", str(name), "--out", str(out)]) == 0
        found.append(embedding_archive.read(out))
    np.testing.assert_array_equal(found[0].vectors, found[1].vectors)
    np.testing.assert_allclose(np.linalg.norm(found[0].vectors, axis=1), 1.0, atol=1e-5)
    assert found[0].model == "stage1 (seed 0, step 0)"
    model = prismlab.load(real / "stage1")
    for (path, vector), row, place in zip(
        prismlab.embed_videos(model, clips), found[0].vectors, found[0].path, strict=True
    ):
        np.testing.assert_array_equal(vector, row)
        assert str(path) == place
    capsys.readouterr()
    assert main.main(["search", str(out), "a red disc", "--model", str(stage1)]) == 0
    assert capsys.readouterr().out.count(".mp4") == 2  # with the tokenizer of the stage


def test_the_five_lines_of_the_readme_embed_a_folder(stage1, clips, capsys):
    page = (cli.REPOSITORY / "README.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) <= 5
    exec(code.replace("runs/quickstart/stage1", str(stage1)).replace("clips/", str(clips)), {})
    width = named_model.load(stage1).video.dim
    assert capsys.readouterr().out == "".join(f"{clips / name}.mp4 ({width},)\n" for name in "ab")


def test_loading_a_stage_logs_nothing(stage1, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("absl"), "filters", [])  # as in Python without `prismlab.setup`
    setup.hide_hints.cache_clear()
    prismlab.load(stage1)
    assert caplog.text == ""


def test_a_stage_is_loaded_with_its_own_weights_and_sizes(real, stage1):
    model = named_model.load(stage1)
    assert isinstance(model, released.VideoText)
    arrays = stage_folder.read(stage1)[1]
    own = {name: leaf for name, leaf in arrays.items() if name.startswith("towers/")}
    towers = {"towers": {"video": model.video, "text": model.text}}
    assert trees.digest(trees.flatten(towers)) == trees.digest(own)
    assert isinstance(
        named_model.load(real / "stage2"), video.VideoTower | video_encoder.FactorizedVideoEncoder
    )


@pytest.mark.slow  # test_recipe_sizes.py has the round trip through each format
def test_a_stage_is_converted_and_read_back_without_a_word_on_its_sizes(real, stage1, tmp_path, capsys):
    model = named_model.load(stage1)
    pixels = jnp.asarray(np.random.default_rng(0).random((1, model.video.frames, 16, 16, 3), np.float32))
    expected = released.embed(model, pixels)[0]
    made = []
    for name in ("own.bundle", "own.npz", "model.safetensors"):
        path = tmp_path / name
        assert main.main(["convert", str(real / "stage1"), str(path)]) == 0
        again = named_model.load(path)
        assert trees.digest(trees.flatten(again)) == trees.digest(trees.flatten(model)), name
        made.append(jax.tree.structure(again))
    np.testing.assert_allclose(released.embed(again, pixels)[0], expected, atol=1e-6)
    assert made == made[:1] * 3  # equal but for the arrays: one of them is run
    assert json.loads((tmp_path / "own.json").read_text())["kind"] == "video_text"
    capsys.readouterr()
    assert main.main(["inspect", str(real / "stage1")]) == 0
    assert "sizes: video_text, atten_logit_cap 50.0, enable" in capsys.readouterr().out


def test_the_bundle_of_a_stage_is_evaluated_as_the_stage_is(real, tmp_path, capsys):
    bundle = tmp_path / "own.bundle"
    assert main.main(["convert", str(real / "stage1"), str(bundle)]) == 0
    capsys.readouterr()
    own, again = (frozen_encoder.load(str(name), None) for name in (real / "stage1", bundle))
    assert (again.digest, sorted(again.towers)) == (own.digest, ["text", "video"])
    assert again.name == "own.bundle"
    with pytest.raises(errors.UserError, match=r"own\.bundle is a weight file and has its own weights"):
        frozen_encoder.load(str(bundle), "weights.npz")


def test_a_stage_of_another_work_directory_is_named_as_a_parent_by_its_short_name(real, stage1):
    for name in (real / "stage1", stage1):
        assert stages._parent(str(name), "init_from", {}) == stage1
    with pytest.raises(
        errors.UserError, match=r"nor a stage with finished checkpoints \(WORKDIR/stages/NAME"
    ):
        stages._parent(str(real / "stage7"), "init_from", {})


def test_a_teacher_from_another_work_directory_has_its_own_sizes(real, stage1, tmp_path):
    student = dataclasses.replace(strict.load(cli.QUICK).root.stages[1], teacher=str(real / "stage1"))
    by_shape = shapes.abstract_teacher(student, {})["video"]
    assert isinstance(by_shape, video.VideoTower)  # the student's is a quick_towers.Patches
    planned = types.SimpleNamespace(stage=student, seed=0, teacher=stage1)
    found = engine.Engine(tmp_path, tmp_path, console.silent())._teacher(planned)["video"]
    own = named_model.load(stage1).video
    assert trees.digest(trees.flatten(found)) == trees.digest(trees.flatten(own))
    alone = tmp_path / "alone"  # checkpoints without a configuration say no sizes
    shutil.copytree(stage1 / "checkpoints", alone / "checkpoints")
    with pytest.raises(errors.UserError, match=r"teacher .*alone has (other shapes|no tower in common)"):
        engine.Engine(tmp_path, tmp_path, console.silent())._teacher(
            types.SimpleNamespace(stage=student, seed=0, teacher=alone)
        )


def test_a_tower_of_the_users_own_is_embedded_but_fits_no_weight_format(whole, tmp_path, clips, capsys):
    (path, vector), *_ = prismlab.embed_videos(prismlab.load(whole / "stage1"), clips)
    assert (path.name, vector.shape) == ("a.mp4", (8,))
    assert main.main(["convert", str(whole / "stage1"), str(tmp_path / "x.npz")]) == 2
    assert "video.VideoTower and text.TextTower, got Patches" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "weights", "told"),
    [
        (
            "nowhere/stage1",
            None,
            "neither a stage .* nor a weight file; for a released model, give its weights",
        ),
        ("videoprism_public_v1_base", None, "give its weights too"),
        ("{stage}", "w.npz", "is a stage and has its own weights; leave out"),
        ("videoprism_v9", "w.npz", "must be one of"),
    ],
)
def test_a_name_that_is_none_is_one_clear_line(name, weights, told, stage1):
    with pytest.raises(errors.UserError, match=told):
        named_model.load(name.format(stage=stage1), weights)
