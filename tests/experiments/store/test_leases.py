"""Leases: who holds a unit, who waits for it, and when a lease expires."""

import json
import os
import shutil
import threading
import time

import pytest

from prismlab.core.io import filesystem, locks, process_identity
from prismlab.experiments import exits
from prismlab.experiments.store import leases

FAST = {"beat": 0.05, "stale": 0.5}
RUN = filesystem.parse_path("gs://bucket/run")


def test_a_unit_is_claimed_once_by_many_at_the_same_time(somewhere):
    won = []
    gate = threading.Barrier(8)

    def one():
        gate.wait()
        if (held := leases.claim(somewhere, "unit")) is not None:
            won.append(held)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert list(leases.living(somewhere)) == ["unit"]
    assert leases.claim(somewhere, "unit") is None
    won[0].release()
    assert not leases.living(somewhere)
    again = leases.claim(somewhere, "unit")
    assert again is not None
    again.release()


def test_a_claim_without_a_sign_of_life_is_void_and_a_living_one_is_not(somewhere):
    held = leases.claim(somewhere, "unit", **FAST)
    time.sleep(0.6)
    assert leases.claim(somewhere, "unit", **FAST) is None
    assert leases.outlast(somewhere, "unit", **FAST) is None
    held._ended.set()  # as if its process were gone
    held._thread.join()
    taken = leases.outlast(somewhere, "unit", **FAST)
    assert taken is not None
    assert held.lost
    assert not taken.lost
    taken.release()


def dead_claim(workdir, when):
    """Leave the lease of a process on another machine, with a time stamp."""
    path = workdir / "claims/unit.0"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": "elsewhere", "process": 1}))
    os.utime(path, (when, when))
    return path


@pytest.mark.parametrize("when", [0, 2**33], ids=["long ago", "in the future"])
def test_a_lease_expires_by_what_is_seen_and_not_by_its_time_stamp(tmp_path, when):
    path, now = dead_claim(tmp_path, when), [1000.0]
    watch = leases.Watch(lambda: now[0])
    assert leases.claim(tmp_path, "unit", watch) is None
    now[0] += leases.STALE
    assert leases.claim(tmp_path, "unit", watch) is None
    os.utime(path, (when + 1, when + 1))  # renewed by a wrong clock
    now[0] += 1
    assert leases.claim(tmp_path, "unit", watch) is None
    now[0] += leases.STALE + 1
    held = leases.claim(tmp_path, "unit", watch)
    assert held is not None
    assert held.path.name == "unit.1"
    held.release()


def test_the_lease_of_a_process_that_ended_on_this_machine_is_free_at_once(tmp_path):
    path = dead_claim(tmp_path, 2**33)
    own = process_identity.this_process()
    path.write_text(json.dumps(own))
    assert list(leases.living(tmp_path)) == ["unit"]
    assert leases.claim(tmp_path, "unit") is None
    path.write_text(json.dumps(own | {"started": 1}))
    assert not leases.living(tmp_path)
    held = leases.claim(tmp_path, "unit")
    assert held is not None
    held.release()


def test_one_process_waits_for_another_that_runs_the_same_unit(tmp_path, capsys):
    held = leases.claim(tmp_path, "unit")
    threading.Timer(0.1, held.release).start()
    with leases.in_turn(tmp_path, "unit", beat=0.02):
        assert (tmp_path / "claims/unit.0.free").exists()
        assert leases.claim(tmp_path, "unit") is None
    assert f"unit: waiting for process {os.getpid()} on" in capsys.readouterr().err
    assert not leases.living(tmp_path)


def test_a_claim_whose_answer_was_lost_is_ours(bucket, monkeypatch):
    """gcsfs asks again where no answer came, and then meets what it wrote itself."""
    create = locks.create

    def without_answer(path, data):
        create(path, data)
        raise FileExistsError(path)

    monkeypatch.setattr(locks, "create", without_answer)
    held = leases.claim(RUN, "unit")
    assert held is not None
    monkeypatch.setattr(locks, "create", create)
    assert leases.claim(RUN, "unit") is None
    held.release()


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OSError, exits.INTERRUPTED, "unit was, or may be, taken over by another worker"),
        (FileNotFoundError, exits.USER_ERROR, "claims/unit.0 was deleted; run the same command again"),
    ],
)
def test_who_cannot_show_life_ends_before_others_take_over(somewhere, monkeypatch, capfd, error, code, line):
    ended, codes = threading.Event(), []

    def leave(code):
        codes.append(code)
        ended.set()
        held._ended.set()

    def touch(path, data):
        raise error

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(locks, "touch", touch)
    held = leases.claim(somewhere, "unit", beat=0.05, stale=0.3)
    assert held is not None
    assert not ended.wait(0.2)
    assert ended.wait(5)
    held._thread.join()
    assert codes[0] == code
    assert line in capfd.readouterr().err


def test_the_lease_in_a_deleted_directory_is_not_released_in_a_new_one(tmp_path):
    held = leases.claim(tmp_path / "run", "unit")
    assert held is not None
    shutil.rmtree(tmp_path / "run")
    held.release()
    assert not (tmp_path / "run").exists()


def test_a_name_that_begins_like_another_is_its_own_unit(tmp_path):
    held = leases.claim(tmp_path, "score-1")
    assert leases.claim(tmp_path, "score-1.2") is not None
    assert leases.claim(tmp_path, "score-1") is None
    held.release()
