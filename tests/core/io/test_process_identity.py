"""A process of this machine that has ended is known as such; of others nothing is known."""

import os
import subprocess

import pytest

from prismlab.core.io import process_identity


def test_this_process_runs_and_an_earlier_one_with_its_number_has_ended() -> None:
    own = process_identity.this_process()
    assert not process_identity.has_ended(own)
    assert process_identity.has_ended(own | {"started": own["started"] - 1})
    for name in ("host", "boot", "namespace"):
        assert not process_identity.has_ended(own | {"started": 1, name: "another"})


def test_a_zombie_and_a_process_that_is_gone_have_ended() -> None:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    started = process_identity._started(child.pid)
    known = process_identity.this_process() | {"process": child.pid, "started": started}
    assert not process_identity.has_ended(known)
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_identity.has_ended(known)
    child.wait()
    assert process_identity.has_ended(known)


@pytest.mark.parametrize("number", [None, "1", -1, 0, 10**30, [1]])
def test_odd_data_is_of_no_process(number: object) -> None:
    assert not process_identity.has_ended(process_identity.this_process() | {"process": number})
    assert not process_identity.has_ended(number)


def test_without_proc_nothing_is_known(monkeypatch) -> None:
    own = process_identity.this_process() | {"started": 1}
    monkeypatch.setattr(process_identity, "_text", lambda path: "")
    assert not process_identity.has_ended(own | {"boot": ""})
