"""A killed run goes on to the bit-equal end; a run that is asked to stop saves first."""

import pathlib
import random
import signal
import time

import cli
import pytest


def wait_for(process, seen, seconds: float = 300) -> None:
    """Wait until something is seen; the process must still live then."""
    end = time.monotonic() + seconds
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)


def being_saved(workdir: pathlib.Path, stage: str):
    """Return whether a checkpoint of a stage is half on disk."""
    return lambda: any(workdir.glob(f"stages/{stage}-*/checkpoints/*tmp*"))


def saved(workdir: pathlib.Path, stage: str, at: int):
    """Return whether a stage has come to a step."""
    return lambda: any(workdir.glob(f"stages/{stage}-*/checkpoints/{at}"))


def events(workdir: pathlib.Path) -> list[list[tuple]]:
    """Return step, kind and loss of every line of every log; only training lines have a loss."""
    from prismlab.core.events import event_log as log

    paths = sorted(workdir.glob("stages/*/events.jsonl"))
    return [[(each["step"], each["kind"], each.get("loss")) for each in log.read(path)] for path in paths]


def command(workdir: pathlib.Path):
    return cli.start("train", cli.QUICK, *cli.LONG, "--workdir", workdir)


def test_stopped_and_killed_it_ends_with_the_same_bits(whole, tmp_path):
    process = command(tmp_path)
    wait_for(process, saved(tmp_path, "stage1", 2))
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 75, err
    assert "run the same command to " in err
    assert "Traceback" not in out + err
    ((_, at, _),) = (line.split() for line in cli.digest(tmp_path))
    assert f"stopped after step {at} of 8" in err
    process = command(tmp_path)
    wait_for(process, being_saved(tmp_path, "stage2"))
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert f"resumed at step {at}" in out or at == "8"
    done = cli.train(tmp_path, *cli.LONG)
    assert done.returncode == 0, done.stderr
    assert "stage1 (seed 0): already trained, reused" in done.stdout
    assert cli.digest(tmp_path) == cli.digest(whole)
    assert events(tmp_path) == events(whole)


@pytest.mark.slow
def test_kills_at_bad_moments_change_nothing(whole, tmp_path):
    draw = random.Random(0)
    moments = [
        lambda: being_saved(tmp_path, "stage1"),
        lambda: saved(tmp_path, "stage1", draw.randint(2, 7)),
        lambda: being_saved(tmp_path, "stage2"),
    ]
    for moment in moments:
        process = command(tmp_path)
        wait_for(process, moment())
        time.sleep(draw.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.communicate()
    done = cli.train(tmp_path, *cli.LONG)
    assert done.returncode == 0, done.stderr
    assert "stage1 (seed 0): already trained, reused" in done.stdout
    assert cli.digest(tmp_path) == cli.digest(whole)
    assert events(tmp_path) == events(whole)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGUSR2, marks=pytest.mark.slow), signal.SIGINT])
def test_asked_to_stop_before_training_it_ends_cleanly(number, tmp_path):
    process = command(tmp_path)
    wait_for(process, lambda: (tmp_path / "config.gin").exists())
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 75, err
    assert "Traceback" not in out + err
    assert "run the same command to " in err
