"""Whole runs in a bucket: they end with the bits of a run on a disk, whatever is killed on the way."""

import pathlib
import signal
import time

import cli
import pytest

from prismlab.core.events import event_log
from prismlab.core.io import filesystem
from prismlab.experiments import main

ABLATION = "smoke.gin"


def losses(workdir: filesystem.Path) -> list[list[tuple]]:
    paths = sorted(workdir.glob("stages/*/events.jsonl"), key=str)
    return [
        [(each["step"], each["kind"], each.get("loss")) for each in event_log.read(path)] for path in paths
    ]


def trained(workdir: filesystem.Path) -> list[list[tuple]]:
    return [[line for line in log if line[1] == "train"] for log in losses(workdir)]


def wait_for(process, seen, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
def test_a_run_in_a_bucket_is_that_of_a_disk(whole, bucket):
    remote = filesystem.parse_path("gs://bucket/run")
    done = cli.train(remote, "STEPS=8", "loop.Settings.checkpoint_every=4")  # how often changes no bit
    assert done.returncode == 0, done.stderr
    assert cli.digest(remote) == cli.digest(whole)
    assert trained(remote) == trained(whole)
    made = {path.name for path in remote.iterdir()} - {"running"}
    assert made == {path.name for path in whole.iterdir()} - {".lock", "reported.json"}
    assert (remote / "report.md").read_text() == (whole / "report.md").read_text()


@pytest.mark.long
def test_what_else_is_done_with_a_directory_in_a_bucket(whole, bucket, capsys, tmp_path, monkeypatch):
    for path in filter(pathlib.Path.is_file, whole.rglob("*")):
        if "tensorboard" not in path.parts and path.name != ".lock":
            bucket.put(f"run/{path.relative_to(whole).as_posix()}", path.read_bytes(), {})
        if path.parent.name.isdigit():  # what Orbax writes last in a bucket; on a disk it renames the folder
            marked = path.parent.relative_to(whole).as_posix()
            bucket.put(f"run/{marked}/commit_success.txt", b"", {})
    where = ("--workdir", "gs://bucket/run")
    assert main.main(["train", cli.QUICK, *cli.LONG, *where]) == 0
    assert "already trained, reused" in capsys.readouterr().out
    assert main.main(["report", "gs://bucket/run"]) == 0
    assert main.main(["digest", "gs://bucket/run"]) == 0
    assert set(cli.digest(whole)) <= set(capsys.readouterr().out.splitlines())
    assert main.main(["digest", "gs://elsewhere/run"]) == 2
    assert "bucket request failed" in capsys.readouterr().err
    assert main.main(["convert", str(tmp_path / "x"), "gs://bucket/x.bundle"]) == 2
    assert "expected a local path" in capsys.readouterr().err
    with monkeypatch.context() as later:  # the right is lost after the first question
        later.setattr(filesystem, "check_reachable", lambda path: path)
        bucket.refuse = True
        assert main.main(["ablate", "smoke.gin", "--dry-run", *where]) == 2
        assert "bucket unavailable" in capsys.readouterr().err
        bucket.refuse = False
    stage = next(filesystem.parse_path("gs://bucket/run/stages").glob("stage1-*"))
    assert main.main(["inspect", str(stage)]) == 0
    assert main.main(["inspect", "gs://bucket/run/table.json"]) == 2
    assert "is not a stage of a work directory" in capsys.readouterr().err
    assert main.main(["check", cli.QUICK, f"recipe.Stage.init_from='{stage}'"]) == 0
    assert main.main(["check", cli.QUICK, "recipe.Stage.init_from='gs://elsewhere/stage'"]) == 2
    assert "bucket request failed" in capsys.readouterr().err


def test_a_cache_in_a_bucket_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PRISMLAB_CACHE", "gs://bucket/cache")
    assert main.main(["train", cli.QUICK, "--workdir", str(tmp_path / "run")]) == 2
    assert "PRISMLAB_CACHE=gs://bucket/cache" in capsys.readouterr().err


@pytest.mark.slow
def test_kills_at_bad_moments_change_nothing(tmp_path, bucket):
    """Killed within two saves, and once stopped; a killed one's claim must first grow stale."""
    words = ("train", cli.QUICK, *cli.LONG, "--workdir")
    disk, remote = tmp_path / "run", filesystem.parse_path("gs://bucket/run")
    assert cli.run(*words, disk).returncode == 0

    def there(*parts: str):
        return lambda: any(all(part in name for part in parts) for name in list(bucket.objects))

    for number, seen in (
        (signal.SIGKILL, there("stage1", "checkpoints/3/")),
        (signal.SIGKILL, there("stage1", "checkpoints/6/optimizer")),
        (signal.SIGTERM, there("stage2", "checkpoints/2/")),
    ):
        process = cli.start(*words, remote)
        wait_for(process, seen)
        process.send_signal(number)
        process.communicate()
        assert process.returncode == (75 if number == signal.SIGTERM else -number)
    done = cli.run(*words, remote)
    assert done.returncode == 0, done.stderr
    assert cli.digest(remote) == cli.digest(disk)
    assert losses(remote) == losses(disk)


@pytest.mark.slow
def test_a_second_command_is_refused_while_one_runs(bucket):
    words = ("train", cli.QUICK, "STEPS=100000", "--workdir", "gs://bucket/run")
    first = cli.start(*words)
    wait_for(first, lambda: "run/running/claims/command.0" in bucket.objects)
    cli.one_fault(cli.run(*words), "another process is running")
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert first.returncode == 75


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_table_is_the_same(tmp_path, bucket):
    disk, remote = tmp_path / "run", filesystem.parse_path("gs://bucket/run")
    assert cli.run("ablate", ABLATION, "--workdir", disk).returncode == 0
    for name in ("config.json", "config.gin"):
        (remote / name).write_bytes((disk / name).read_bytes())
    words = ("worker", ABLATION, "--workdir", remote, "--stale", 6)
    first = cli.start(*words)
    wait_for(
        first, lambda: any("stage1" in name and "/checkpoints/" in name for name in list(bucket.objects))
    )
    second = cli.start(*words)
    time.sleep(2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    out, err = second.communicate(timeout=300)
    assert second.returncode == 0, out + err
    assert cli.digest(remote) == cli.digest(disk)
    table = cli.run("ablate", ABLATION, "--workdir", remote)
    assert table.returncode == 0, table.stderr
    assert (remote / "report.md").read_text() == (disk / "report.md").read_text()
