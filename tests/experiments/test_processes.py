"""Several processes on loopback train as one does, or work as one worker; one of them may die, others go on.

Losses of different numbers of processes agree to 1e-5, not to the bit: gradients are summed in another order.
"""

import pathlib
import signal
import socket
import time

import cli
import numpy as np
import pytest

from prismlab.core.events import event_log
from prismlab.core.io import filesystem
from prismlab.core.train.checkpoints import checkpoint
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.store import leases, work_directory

SMOKE = "smoke.gin"
SHORT = ("STEPS=8", "loop.Settings.checkpoint_every=2", "recipe.Stage.batch_size=8")


def joined(processes: int, devices: int) -> list[dict[str, str]]:
    """Return the environment of each process of one run, each with as many devices."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = []
    for process in range(processes):
        variables = {
            "PRISMLAB_COORDINATOR": f"127.0.0.1:{port}",
            "PRISMLAB_PROCESSES": str(processes),
            "PRISMLAB_PROCESS": str(process),
        }
        found.append(cli.environment(devices, **(variables if processes > 1 else {})))
    return found


def started(
    workdir: pathlib.Path,
    processes: int,
    devices: int,
    *more: str,
    bindings: tuple[str, ...] = SHORT,
    file: str = cli.QUICK,
) -> list:
    """Start the processes of one training run; `more` goes to the last one alone."""
    found = []
    for process, env in enumerate(joined(processes, devices)):
        last = more if process == processes - 1 else ()
        found.append(cli.start("train", file, *bindings, *last, "--workdir", workdir, env=env))
    return found


def finished(processes: list) -> list[tuple[int, str]]:
    """Return exit code and errors of each process."""
    told = [process.communicate(timeout=600) for process in processes]
    return [(process.returncode, err) for process, (_, err) in zip(processes, told)]


def losses(workdir: pathlib.Path) -> np.ndarray:
    """Return the loss of every step of every stage."""
    logs = sorted(workdir.glob("stages/*/events.jsonl"))
    return np.asarray(
        [[line["loss"] for line in event_log.read(log) if line["kind"] == "train"] for log in logs]
    )


def parameters(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the arrays of the last stage."""
    return checkpoint.read_learner(next(workdir.glob("stages/stage2-*")) / "checkpoints")[1]


def wait_for_a_checkpoint(workdir: pathlib.Path, *processes) -> None:
    """Wait until the first stage has saved; all processes must still live then."""
    while not any(workdir.glob("stages/stage1-*/checkpoints/2")):
        assert all(each.poll() is None for each in processes), finished(processes)
        time.sleep(0.005)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> pathlib.Path:
    """Return the work directory of one process with four devices."""
    workdir = tmp_path_factory.mktemp("alone")
    ((code, err),) = finished(started(workdir, 1, 4))
    assert code == 0, err
    return workdir


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pathlib.Path:
    """Return the work directory of two processes with two devices each, undisturbed."""
    workdir = tmp_path_factory.mktemp("pair")
    for code, err in finished(started(workdir, 2, 2)):
        assert code == 0, err
    return workdir


def near(workdir: pathlib.Path, other: pathlib.Path) -> None:
    """Compare two runs."""
    assert losses(workdir).shape == (2, 8)
    np.testing.assert_allclose(losses(workdir), losses(other), atol=1e-5)
    mine, theirs = parameters(workdir), parameters(other)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        np.testing.assert_allclose(value, theirs[name], atol=1e-5, err_msg=name)


def test_two_processes_take_the_steps_of_one(tmp_path):
    short = {"bindings": (cli.ONE_STAGE, "STEPS=2"), "file": cli.QUICK}
    runs = [started(tmp_path / "one", 1, 2, **short), started(tmp_path / "two", 2, 1, **short)]
    assert [code for each in runs for code, _ in finished(each)] == [0, 0, 0]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert one.shape == (1, 2)
    np.testing.assert_allclose(two, one, atol=1e-5)


@pytest.mark.slow
def test_two_processes_train_as_one_does(alone, pair):
    near(pair, alone)


@pytest.mark.slow
def test_two_processes_train_in_a_bucket_as_one_does_on_a_disk(alone, bucket):
    """The second is killed; both start again when the claim of the first has grown stale."""
    workdir = filesystem.parse_path("gs://bucket/run")
    first, second = started(workdir, 2, 2)
    wait_for_a_checkpoint(workdir, first, second)
    second.send_signal(signal.SIGKILL)
    (code, err), _ = finished([first, second])
    assert code == 75, err
    for code, err in finished(started(workdir, 2, 2)):
        assert code == 0, err
    near(workdir, alone)


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_one_process_goes_on(alone, tmp_path):
    first, second = started(tmp_path, 2, 2)
    wait_for_a_checkpoint(tmp_path, first, second)
    second.send_signal(signal.SIGKILL)
    _, err = first.communicate(timeout=600)
    assert first.returncode == 75, err
    assert "restart all processes" in err
    assert "Traceback" not in err
    second.communicate()
    assert work_directory.digests(tmp_path)[0][1] < 8
    ((code, err),) = finished(started(tmp_path, 1, 4))
    assert code == 0, err
    near(tmp_path, alone)


@pytest.mark.slow
def test_asked_to_stop_one_process_all_save_and_leave(pair, tmp_path):
    first, second = started(tmp_path, 2, 2)
    wait_for_a_checkpoint(tmp_path, first, second)
    second.send_signal(signal.SIGTERM)
    for code, err in finished([first, second]):
        assert code == 75, err
        assert "run the same command to " in err
    for code, err in finished(started(tmp_path, 2, 2)):
        assert code == 0, err
    # As many processes as before sum in the same order: equal to the bit.
    assert cli.digest(tmp_path) == cli.digest(pair)


@pytest.mark.slow
def test_hosts_with_different_configurations_are_refused_with_the_difference(tmp_path):
    for code, err in finished(started(tmp_path, 2, 2, "optim.Schedule.peak=2e-3")):
        assert code == 2, err
        assert "Traceback" not in err
        assert "process 1 differs from process 0" in err
        assert "peak: 0.001 -> 0.002" in err
    assert not any(tmp_path.glob("stages/*"))


@pytest.mark.slow
def test_a_host_whose_data_fail_ends_the_run_with_its_reason(tmp_path):
    words = ("train", cli.QUICK, *SHORT, "--workdir", tmp_path)
    first, second = joined(2, 2)
    modules = {"module": "failing_host", "cwd": pathlib.Path(__file__).parent}
    fine, failing = cli.start(*words, env=first), cli.start(*words, env=second, **modules)
    (code, err), (failed, why) = finished([fine, failing])
    assert failed == 2, why
    assert "clip 7 is damaged" in why
    assert "Traceback" not in why + err
    assert code == 75, err
    assert "process 1 of this run failed: clip 7 is damaged" in err
    for code, err in finished(started(tmp_path, 2, 2)):
        assert code == 0, err


def made_ready(workdir: pathlib.Path) -> pathlib.Path:
    """Make a work directory ready for workers, as a launcher does."""
    loaded = strict.load(SMOKE)
    with work_directory.claimed(workdir, loaded.root, loaded.text):
        return workdir


def workers(workdir: pathlib.Path) -> list:
    """Start the two processes of one worker, a device each."""
    words = ("worker", SMOKE, "--workdir", workdir, "--stale", 5)
    return [cli.start(*words, env=env) for env in joined(2, 1)]


@pytest.mark.slow
def test_two_processes_are_one_worker_and_its_successor_goes_on(tmp_path):
    alone, shared = tmp_path / "alone", made_ready(tmp_path / "shared")
    done = cli.run("ablate", SMOKE, "--workdir", alone, env=cli.environment(2))
    assert done.returncode == 0, done.stderr
    first, second = workers(shared)
    while not any(shared.glob("stages/stage1-*/checkpoints/4")):
        assert first.poll() is second.poll() is None, finished([first, second])
        time.sleep(0.005)
    second.send_signal(signal.SIGKILL)
    _, err = first.communicate(timeout=600)
    assert first.returncode == 75, err
    second.communicate()
    for code, err in finished(workers(shared)):
        assert code == 0, err
    table = cli.run("ablate", SMOKE, "--workdir", shared, env=cli.environment(2))
    assert table.returncode == 0, table.stderr
    assert table.stdout.count("already trained, reused") >= 2, table.stdout
    mine, theirs = losses(shared), losses(alone)
    assert mine.shape == theirs.shape
    np.testing.assert_allclose(mine, theirs, atol=1e-5)


@pytest.mark.slow
def test_a_unit_that_one_host_cannot_do_is_noted_and_left_out_by_the_next_worker(tmp_path):
    shared = made_ready(tmp_path / "shared")
    words = ("worker", SMOKE, "--workdir", shared, "--stale", 5)
    first, second = joined(2, 1)
    modules = {"module": "failing_host", "cwd": pathlib.Path(__file__).parent}
    (code, err), (failed, why) = finished(
        [cli.start(*words, env=first), cli.start(*words, env=second, **modules)]
    )
    assert (code, failed) == (75, 2), err + why
    assert len(leases.failures(shared)) == 1
    for code, err in finished(workers(shared)):
        assert code == 4, err
    assert not any(shared.glob("stages/*/done.json"))
