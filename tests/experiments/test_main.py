"""The commands: exit codes, what they print, and what a finished directory gives back."""

import contextlib
import errno
import io
import json
import os
import pathlib
import shutil
import sys

import cli
import pytest

from prismlab.experiments import main
from prismlab.experiments.commands.encoders import convert, models
from prismlab.experiments.commands.stored import digest

ABLATION = str(pathlib.Path(__file__).with_name("quick_ablation.gin"))


def call(*words: object) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main.main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def refused(*words: object) -> str:
    code, _, err = call(*words)
    assert code == 2, err
    assert err
    assert all(line.startswith("prismlab: ") for line in err.splitlines())
    return err


@pytest.fixture(scope="module")
def ablated(tmp_path_factory) -> tuple[pathlib.Path, str]:
    """Return the work directory of one run of an ablation, and what was printed."""
    workdir = tmp_path_factory.mktemp("ablated")
    done = cli.run("ablate", ABLATION, "--workdir", workdir)
    assert done.returncode == 0, done.stderr
    return workdir, done.stdout


def test_check_shows_every_stage_and_trains_nothing():
    code, out, err = call("check", "smoke.gin")
    assert (code, err) == (0, "")
    for part in (
        "stage 1 only",
        "both stages",
        "(shared)",
        "contrastive",
        "clean,",
        "speech",
        "nothing was trained",
    ):
        assert part in out


def test_check_names_every_fault_on_a_line_of_its_own():
    told = refused("check", "smoke.gin", "recipe.Stage.stepz=1", "NOTHING=2")
    assert len(told.splitlines()) == 2
    assert "stepz" in told
    assert "NOTHING" in told


@pytest.mark.parametrize(
    ("binding", "told"),
    [
        ("recipe.Stage.batch_size=0", "batch_size must be at least 1"),
        ("video_encoder.FactorizedVideoEncoder.patch=5", "patch"),
        ("video_encoder.FactorizedVideoEncoder.frames=3", "frames"),
        ("text.TextTower.vocabulary=32", "tokenizer.Tokenizer.vocabulary=64"),
        ("presets.Size.dim=7", ""),
        ("stage2/recipe.Stage.teacher=None", "teacher"),
        ("stage2/recipe.Stage.init_from='nowhere'", "nowhere"),
        ("contrastive.Contrastive.temperature=0", "temperature"),
        ("stage1/recipe.Stage.towers={'clip': %VIDEO}", "'video'"),
    ],
)
def test_check_refuses_what_does_not_fit(binding, told):
    if binding.startswith("presets"):
        assert refused("check", cli.TINY, binding)
        return
    assert told in refused("check", cli.TINY, binding)


def test_train_and_ablate_say_which_command_to_use(tmp_path):
    assert "prismlab ablate smoke.gin" in refused("train", "smoke.gin", "--workdir", tmp_path / "w")
    assert "prismlab train" in refused("ablate", cli.TINY, "--workdir", tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_missing_file_is_refused(tmp_path):
    assert "nowhere.gin" in refused("check", "nowhere.gin")
    assert "nowhere.gin" in refused("train", "nowhere.gin", "--workdir", tmp_path)


@pytest.mark.parametrize("words", [[], ["nothing"], ["train", "smoke.gin"], ["world", "x"]])
def test_words_that_are_no_command_end_with_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(words)
    assert caught.value.code == 2
    assert "usage: prismlab" in capsys.readouterr().err


def test_ablate_trains_shared_stages_once_and_prints_the_table(ablated):
    workdir, out = ablated
    assert len(list(workdir.glob("stages/*/done.json"))) == 2
    assert "stage1 (seed 0): already trained, reused" in out
    for part in ("stage 1 only", "both stages", "species", "reversal", "text_to_video_R@1"):
        assert part in out
    for name in ("table.json", "report.md", "report.html", "config.json", "config.gin", "results.json"):
        assert (workdir / name).stat().st_size > 0
    labels = [
        (entry["label"], len(entry["stages"])) for entry in json.loads((workdir / "results.json").read_text())
    ]
    assert labels == [("stage 1 only", 1), ("both stages", 2)]


REPORTS = ("table.json", "report.md", "report.html")


def test_report_needs_the_directory_alone(ablated, tmp_path):
    workdir, _ = ablated
    copy = pathlib.Path(shutil.copytree(workdir, tmp_path / "elsewhere"))
    for name in REPORTS:
        (copy / name).unlink()
    code, again, _ = call("report", copy)
    assert code == 0
    assert [(copy / name).read_bytes() for name in REPORTS] == [
        (workdir / name).read_bytes() for name in REPORTS
    ]
    assert "both stages" in again
    assert again.splitlines()[-1].startswith("written: ")


@pytest.mark.parametrize("name", ["results.json", "config.json", "config.gin"])
def test_report_refuses_a_directory_that_lacks_a_file(ablated, tmp_path, name):
    copy = pathlib.Path(shutil.copytree(ablated[0], tmp_path / "w"))
    (copy / name).unlink()
    assert name in refused("report", copy)


@pytest.mark.parametrize("name", ["results.json", "config.json"])
def test_report_refuses_a_damaged_file(ablated, tmp_path, name):
    copy = pathlib.Path(shutil.copytree(ablated[0], tmp_path / "w"))
    (copy / name).write_text((copy / name).read_text()[:-9])
    assert f"{name} cannot be read" in refused("report", copy)


def test_digest_prints_one_line_a_stage(ablated):
    code, out, _ = call("digest", ablated[0])
    lines = [line.split(" ") for line in out.splitlines()]
    assert code == 0
    assert [name.partition("-")[0] for name, _, _ in lines] == ["stage1", "stage2"]
    assert all(at == "4" and len(sha) == 64 and set(sha) <= set("0123456789abcdef") for _, at, sha in lines)


@pytest.mark.parametrize("command", ["digest", "report"])
def test_a_directory_without_a_run_is_refused(command, tmp_path):
    assert str(tmp_path) in refused(command, tmp_path)
    assert "nowhere" in refused(command, tmp_path / "nowhere")


def test_the_same_command_again_trains_and_scores_nothing(ablated):
    workdir, _ = ablated
    before = {path: path.stat().st_mtime_ns for path in workdir.glob("s*/**/*") if path.is_file()}
    reports = [(workdir / name).read_bytes() for name in REPORTS]
    done = cli.run("ablate", ABLATION, "--workdir", workdir)  # checked types make it slow here
    out = done.stdout
    assert done.returncode == 0, done.stderr
    assert "all 2 stages and" in out
    assert "unchanged: " in out
    assert "step" not in out.replace("steps", "")
    assert before == {path: path.stat().st_mtime_ns for path in workdir.glob("s*/**/*") if path.is_file()}
    assert reports == [(workdir / name).read_bytes() for name in REPORTS]


def test_another_binding_is_told_with_the_difference(ablated):
    words = ("ablate", ABLATION, "optim.Schedule.peak=2e-3", "--workdir", ablated[0], "--dry-run")
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    assert "stage1 (seed 0): runs; stage1.optimizer.schedule.peak: 0.001 -> 0.002\n" in out
    assert "stage2 (seed 0): runs; stage2.optimizer.schedule.peak: 0.001 -> 0.002\n" in out


def test_world_renders_a_folder_that_is_a_source(tmp_path):
    code, _, err = call("world", tmp_path / "w", "--clips", "3", "--seed", "5")
    assert (code, err) == (0, "")
    assert len(list((tmp_path / "w/videos").glob("*.mp4"))) == 3
    assert len((tmp_path / "w/captions.jsonl").read_text().splitlines()) == 3
    assert "seed" in refused("world", tmp_path / "w", "--clips", "3", "--seed", "6")


def test_world_refuses_no_clips_and_a_file(tmp_path):
    assert "at least 1" in refused("world", tmp_path / "w", "--clips", "0")
    (tmp_path / "file").write_text("mine")
    assert "file" in refused("world", tmp_path / "file", "--clips", "1")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_loss_that_is_not_finite_ends_with_4_and_keeps_the_last_good_checkpoint(tmp_path):
    words = ("optim.Schedule.peak=1e30", "STEPS=12", "loop.Settings.checkpoint_every=1")
    code, _, err = call("train", cli.QUICK, *words, "--workdir", tmp_path)
    assert code == 4, err
    (line,) = (line for line in err.splitlines() if line.startswith("prismlab: "))
    assert "is not finite at step " in line
    assert "the last good checkpoint was kept" in line


def test_the_reason_why_a_path_is_refused_is_one_line(capsys):
    assert main.main(["embed", "a.mp4", "--model", "m", "--random-weights", "--out", "gs://b/x.npz"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("prismlab: gs://b/x.npz: expected a local path, got a URL")
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("check", "smoke.gin", "A=1", "B=2"),
        ("train", "smoke.gin", "A=1", "--workdir", "w", "B=2"),
        ("train", "smoke.gin", "--workdir", "w", "A=1", "--gin.B=2"),
    ],
)
def test_bindings_may_stand_anywhere(words):
    assert main._parse(words).bindings == ["A=1", "B=2"]


@pytest.mark.parametrize(
    "words", [("check", "smoke.gin", "--fast=1"), ("report", "w", "extra"), ("world", "a=1")]
)
def test_other_words_are_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main._parse(words)
    assert "error" in capsys.readouterr().err


def disk_errors():
    """Yield what a disk that is read-only, full or gone makes commands raise, from Python, Rust and C++."""
    for number in (errno.EROFS, errno.ENOSPC, errno.ENOENT, errno.EIO, errno.ESTALE, errno.EMFILE):
        yield OSError(number, os.strerror(number), "runs/x")
        yield ValueError(f"Failed to open runs/x [OS error {number}: {os.strerror(number)}]")


@pytest.mark.parametrize("error", list(disk_errors()), ids=repr)
def test_an_error_of_a_disk_in_any_command_is_one_line(error, capsys, monkeypatch):
    def fail(options):
        raise error

    words = {models: ["models"], digest: ["digest", "x"], convert: ["convert", "a", "b.npz"]}
    for command in words:
        monkeypatch.setattr(command, "run", fail)
        assert main.main(words[command]) == 2
        told = capsys.readouterr().err
        assert "runs/x" in told
        assert len(told.splitlines()) == 1


def test_a_platform_without_its_plugin_is_one_line(capsys, monkeypatch, tmp_path):
    code = compile("def start():\n    assert False", str(tmp_path / "xla_bridge.py"), "exec")
    names: dict = {}
    exec(code, names)
    monkeypatch.setattr(models, "run", lambda options: names["start"]())
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    assert main.main(["models"]) == 2
    assert "JAX cannot start its devices (JAX_PLATFORMS=cuda); correct" in capsys.readouterr().err


def test_memory_that_runs_out_is_one_line(capsys, monkeypatch):
    def fail(options):
        raise MemoryError

    monkeypatch.setattr(models, "run", fail)
    assert main.main(["models"]) == 2
    assert capsys.readouterr().err.count("memory ran out; raise the limit of memory") == 1


@pytest.mark.parametrize(
    "error", [OSError(errno.EPIPE, "Broken pipe"), OSError("no number"), ValueError("x")]
)
def test_an_error_in_prismlab_keeps_its_traceback(error, monkeypatch):
    def fail(options):
        raise error

    monkeypatch.setattr(models, "run", fail)
    monkeypatch.delitem(sys.modules, "gcsfs", raising=False)  # its errors may have no number
    with pytest.raises(type(error)):
        main.main(["models"])
