"""Pools of worker processes: an unguarded script and a worker that exits are errors of one line."""

import multiprocessing
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from prismlab.core import errors
from prismlab.data import process_pool

UNGUARDED = """
import pathlib, sys
from prismlab.data.loader import source
from prismlab.data.world import world
source.Rendered(world.World(clips=2), workers=1).open(pathlib.Path(sys.argv[1]))
"""


def _ends(_: int) -> None:
    os._exit(1)


def test_a_script_without_a_guard_is_told_instead_of_waiting_for_itself(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, script, tmp_path / "cache"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "put what the script does under" in done.stderr
    assert "a worker process ended before its work was done" in done.stderr


def test_only_a_worker_that_imports_the_script_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    process_pool.refuse_unguarded_script()
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(errors.UserError, match="imports your script and starts its work again"):
        process_pool.refuse_unguarded_script()


def _touch(path: pathlib.Path) -> None:
    path.touch()
    time.sleep(0.05)


def _process(_: int) -> int:
    return os.getpid()


def test_calls_share_one_pool_within_the_block_only() -> None:
    with process_pool.shared(1):
        first = set(process_pool.in_order(_process, range(3), 1))
        assert set(process_pool.each(_process, range(3), 1)) == first
        assert not first & set(process_pool.in_order(_process, range(3), 2))  # another number
        with process_pool.shared(1):
            assert not first & set(process_pool.in_order(_process, range(3), 1))
        assert set(process_pool.in_order(_process, range(3), 1)) == first
    assert len(first) == 1
    assert not first & set(process_pool.in_order(_process, range(3), 1))


@pytest.mark.parametrize("call", [process_pool.in_order, process_pool.each])
def test_an_abandoned_call_waits_for_what_it_handed_out(tmp_path: pathlib.Path, call: Callable) -> None:
    with process_pool.shared(1):
        results = call(_touch, [tmp_path / str(number) for number in range(20)], 1)
        next(results)
        results.close()
        left = len(list(tmp_path.iterdir()))
        list(process_pool.in_order(_process, range(1), 1))
        assert len(list(tmp_path.iterdir())) == left < 20


def test_a_shared_pool_whose_worker_ends_is_one_line() -> None:
    ended = pytest.raises(errors.UserError, match="a worker process ended before its work was done")
    with ended, process_pool.shared(1):
        list(process_pool.in_order(_ends, range(3), 1))


def test_a_worker_that_ends_is_one_line() -> None:
    with pytest.raises(errors.UserError, match="a worker process ended before its work was done"):
        list(process_pool.in_order(_ends, range(3), 1))


@pytest.mark.long
@pytest.mark.parametrize("delay", [0.04, 0.08])
def test_an_interrupt_while_the_processes_start_ends_the_call(tmp_path: pathlib.Path, delay: float) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, threading, time\n"
        "from prismlab.data import process_pool\n"
        "if __name__ == '__main__':\n"
        f"    threading.Timer({delay}, lambda: os.killpg(0, signal.SIGINT)).start()\n"
        "    try:\n"
        "        list(process_pool.in_order(time.sleep, [0.3] * 100, 2))\n"
        "    except BaseException as error:\n"
        "        print(type(error).__name__)\n"
    )
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=30, start_new_session=True
    )
    assert "KeyboardInterrupt" in ended.stdout
