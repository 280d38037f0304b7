"""The installed package: what a wheel holds, what `import prismlab` does, and what old imports answer."""

import importlib
import inspect
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

import prismlab
from prismlab.experiments import main
from prismlab.experiments.gin_strict import old_names

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """Build the wheel in a copy of the sources and return the folder it unpacks to."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "sources"  # pip leaves a build folder beside the sources
    unwanted = (".git", ".venv*", "runs", "build", "tests", "*.egg-info", "__pycache__", "*-table.json")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*unwanted))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", folder, copy], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_wheel_holds_one_top_level_package(wheel):
    top = {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"prismlab"}
    assert (wheel / "prismlab/experiments/gin/smoke.gin").exists()
    assert (wheel / "prismlab/experiments/html/report.html").exists()
    assert len(list((wheel / "prismlab/experiments/kit/templates").glob("*.txt"))) == 12
    (told,) = wheel.glob("*.dist-info/entry_points.txt")
    assert "[pytest11]\nprismlab = prismlab.experiments.kit.plugin" in told.read_text()


# The test of an old import runs the package of the wheel, and the one above lists its files.
@pytest.mark.slow
def test_a_wheel_checks_a_recipe_in_an_empty_folder(wheel, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(wheel), "PRISMLAB_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "prismlab", "check", "smoke.gin"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "nothing was trained" in done.stdout


@pytest.mark.slow
def test_a_wheel_runs_an_ablation_in_an_empty_folder(wheel, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(wheel), "PRISMLAB_CACHE": str(tmp_path / "cache")}
    short = ["recipe.Stage.steps=2", "CLEAN_CLIPS=48", "SPEECH_CLIPS=24", "TEST_CLIPS=24"]
    short += ["probe.AttentiveProbe.train_clips=32", "probe.AttentiveProbe.steps=2"]
    short += ["optim.Schedule.warmup_steps=1", "recipe.Stage.batch_size=8", "retrieval.Retrieval.clips=8"]
    command = [sys.executable, "-m", "prismlab", "ablate", "smoke.gin", *short, "--workdir", "run"]
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (empty / "run/report.html").exists()


def test_importing_prismlab_imports_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import prismlab; "
        "print(sorted(m for m in set(sys.modules) - before if not m.startswith('prismlab')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = ("jax", "numpy", "gin", "fsspec", "rich", "logging", "pathlib")
    assert not [name for name in heavy if repr(name) in done.stdout], done.stdout


def test_importing_every_room_changes_no_setting_of_the_process():
    rooms = [name for name in old_names.MOVED.values() if name.startswith("prismlab.core")]
    code = (
        "import importlib, logging, os, sys\n"
        "import equinox, flax, fsspec, optax, orbax.checkpoint, etils.epath\n"
        "names = ('absl', 'asyncio', 'gcsfs', 'orbax')\n"
        "log = lambda name: (logging.getLogger(name).level, len(logging.getLogger(name).filters))\n"
        "state = lambda: (dict(os.environ), repr(fsspec.config.conf), [log(name) for name in names])\n"
        "before = state()\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "assert state() == before, (before, state())\n"
    )
    subprocess.run([sys.executable, "-c", code, *rooms], check=True)


def test_the_package_is_only_advised_from_a_checkout():
    """No package registry has prismlab, and each extra that a message or a page names must exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = 0
    for path in [
        *ROOT.glob("*.md"),
        *(ROOT / "experiments/launch").glob("*.md"),
        *ROOT.glob("[cdeo]*/**/*.py"),
    ]:
        text = path.read_text(encoding="utf-8")
        assert "prismlab[" not in text, path
        named = re.findall(r"(?:'\.\[|\.whl\[|install_extra\(['\"])([a-z,]+)", text)
        told += len(named)
        assert {name for each in named for name in each.split(",")} <= set(extras), path
    assert told


def test_public_names_resolve():
    for name in prismlab.__all__:
        assert getattr(prismlab, name) is not None
    for name in ("load", "build", "encode_video", "embed", "frame_embeddings", "classify", "save"):
        assert callable(getattr(prismlab.released, name))
    with pytest.raises(AttributeError, match="it has setup, load, "):
        _ = prismlab.relased


def test_every_moved_module_exists():
    for new in old_names.MOVED.values():
        assert ROOT.joinpath(*new.split(".")[1:]).with_suffix(".py").exists(), new


def test_an_old_import_in_a_gin_file_is_answered_with_the_new_one(wheel, tmp_path):
    named = {
        "from core import masking": "from prismlab.core.train import masking",
        "from data import pipeline": "from prismlab.data.loader import loader",
        "from objectives import masked": "from prismlab.objectives import masked",
    }
    file = tmp_path / "mine.gin"
    file.write_text("\n".join(["from __gin__ import dynamic_registration", *named, ""]))
    # In a process of its own, which does not find our folders at the top level as the tests do.
    environment = {**os.environ, "PYTHONPATH": str(wheel), "PRISMLAB_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "prismlab", "check", file]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    for line, (told, new) in enumerate(zip(done.stderr.splitlines(), named.values(), strict=True), 2):
        assert f"mine.gin:{line}" in told
        assert new in told


def test_a_work_directory_of_the_old_layout_is_not_continued(tmp_path):
    from prismlab.core import errors
    from prismlab.experiments.store import work_directory

    config = tmp_path / "config.json"
    config.write_text('{"class": "prismlab.experiments.recipe.recipe.Ablation"}')
    work_directory.check_usable(tmp_path)
    config.write_text('{"class": "experiments.recipe.Ablation"}')
    with pytest.raises(
        errors.UserError, match="moved into one package, so it cannot be continued; use another --workdir"
    ):
        work_directory.check_usable(tmp_path)


@pytest.mark.parametrize("old", sorted(old_names.PARAMETERS))
def test_a_parameter_that_moved_exists_where_the_message_sends(old):
    module, name, parameter = old_names.PARAMETERS[old].split(".")
    (path,) = (path for room in ("core", "experiments") for path in (ROOT / room).rglob(f"{module}.py"))
    home = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    found = getattr(importlib.import_module(f"prismlab.{home}"), name)
    assert parameter in inspect.signature(found).parameters


def test_an_old_parameter_is_answered_with_the_new_one(capsys):
    assert main.main(["check", "smoke.gin", "video.VideoTower.patch=4"]) == 2
    assert "it is now video_encoder.FactorizedVideoEncoder.patch" in capsys.readouterr().err
