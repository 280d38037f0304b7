"""Cores: equal shares for workers, and processes that keep to theirs."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.parallel import cores

pytestmark = pytest.mark.skipif(not cores.usable(), reason="the system does not say which cores there are")


@given(st.sets(st.integers(0, 300), min_size=1, max_size=40), st.integers(1, 50))
def test_shares_are_equal_and_hold_no_core_twice(numbers, workers):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda process: numbers)
        shares = cores.shares(workers)
    assert len(shares) == workers
    if workers > len(numbers):
        assert shares == [{}] * workers
        return
    parts = [[int(number) for number in share[cores.VARIABLE].split(",")] for share in shares]
    dealt = [number for part in parts for number in part]
    assert dealt == sorted(numbers)[: len(dealt)]
    assert len(numbers) - len(dealt) < workers
    assert len({len(part) for part in parts}) == 1


def test_a_process_and_what_it_starts_keep_to_the_share():
    code = (
        "import os, subprocess, sys\n"
        "from prismlab.core.parallel import cores\n"
        "cores.keep_to_share()\n"
        "child = 'import os; print(sorted(os.sched_getaffinity(0)))'\n"
        "print(cores.usable(), flush=True)\n"
        "subprocess.run([sys.executable, '-c', child], check=True)\n"
    )
    last = cores.usable()[-1]
    environment = os.environ | {cores.VARIABLE: str(last)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == [f"[{last}]"] * 2, done.stderr


@pytest.mark.parametrize("listed", ["x", "0,", "-1", "99999", "1" * 30])
def test_other_values_are_one_line(listed, monkeypatch):
    before = cores.usable()
    monkeypatch.setenv(cores.VARIABLE, listed)
    with pytest.raises(
        errors.UserError, match=f"PRISMLAB_CORES='{listed}': expected numbers of usable cores"
    ):
        cores.keep_to_share()
    assert cores.usable() == before


@pytest.mark.parametrize("listed", [None, ""])
def test_without_a_share_nothing_changes(listed, monkeypatch):
    monkeypatch.delenv(cores.VARIABLE, raising=False)
    if listed is not None:
        monkeypatch.setenv(cores.VARIABLE, listed)
    before = cores.usable()
    cores.keep_to_share()
    assert cores.usable() == before


@pytest.mark.parametrize(("number", "left"), [(1, 1), (2, 2), (3, 3), (4, 3), (0, 3)])
def test_a_process_keeps_to_a_number_of_cores(number, left, monkeypatch):
    has = {4, 5, 7}
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(has))
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, kept: has.intersection_update(kept))
    cores.keep_to(number)
    assert sorted(has) == [4, 5, 7][:left]
