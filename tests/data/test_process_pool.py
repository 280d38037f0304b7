"""Pools of worker processes: an unguarded script and a worker that exits are errors of one line."""

import multiprocessing
import os
import pathlib
import subprocess
import sys

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


def _process(_: int) -> int:
    return os.getpid()


def test_calls_share_one_pool_within_the_block_only() -> None:
    with process_pool.shared(1):
        first = set(process_pool.in_order(_process, range(3), 1))
        assert set(process_pool.each(_process, range(3), 1)) == first
        assert not first & set(process_pool.in_order(_process, range(3), 2))  # more than it has
    assert len(first) == 1
    assert not first & set(process_pool.in_order(_process, range(3), 1))


def test_a_shared_pool_whose_worker_ends_is_one_line() -> None:
    ended = pytest.raises(errors.UserError, match="a worker process ended before its work was done")
    with ended, process_pool.shared(1):
        list(process_pool.in_order(_ends, range(3), 1))


def test_a_worker_that_ends_is_one_line() -> None:
    with pytest.raises(errors.UserError, match="a worker process ended before its work was done"):
        list(process_pool.in_order(_ends, range(3), 1))
