"""A process that falls silent is noticed by the others; one that leaves in order is not missed."""

import threading
import time

import pytest

from prismlab.core.parallel import heartbeat


class Board:
    """What the coordination service does, in one process."""

    def __init__(self):
        self.words, self.broken = {}, False

    def key_value_set(self, key, value, allow_overwrite):
        if self.broken:
            raise RuntimeError("connection\nrefused")
        self.words[key] = value

    def key_value_dir_get(self, key):
        return [(name, word) for name, word in self.words.items() if name.startswith(key)]


@pytest.fixture
def watched():
    """Return a board, what process 0 was told, and whether it was told anything."""
    told, came = [], threading.Event()

    def lost(line):
        told.append(line)
        came.set()

    board = Board()
    with heartbeat.Heartbeat(board, 0, lost, every=0.01, silent=0.3):
        yield board, told, came


def test_a_silent_process_is_named(watched):
    board, told, came = watched
    board.words["prismlab/alive/1"] = "17"
    assert came.wait(10)
    assert told == ["process 1 of this run has sent no heartbeat for 0 s"]


def test_a_living_process_and_one_that_left_are_not_missed(watched):
    board, told, came = watched
    board.words["prismlab/alive/2"] = heartbeat.LEFT
    with heartbeat.Heartbeat(board, 1, lambda line: None, every=0.01):
        assert not came.wait(0.6)
    assert board.words["prismlab/alive/1"] == heartbeat.LEFT
    time.sleep(0.4)
    assert told == []


def test_a_lost_board_is_told_in_one_line(watched):
    board, told, came = watched
    board.broken = True
    assert came.wait(10)
    assert told == ["process 0 of this run cannot be reached (connection refused)"]


def test_a_run_of_one_process_starts_nothing():
    before = threading.active_count()
    with heartbeat.Heartbeat(None, 0, pytest.fail):
        assert threading.active_count() == before


def test_a_process_that_failed_is_told_by_the_others_with_its_reason(watched):
    board, told, came = watched
    with heartbeat.Heartbeat(board, 1, lambda line: None, every=0.01) as other:
        assert not other.fail("no such clip")  # process 0 lives on, so nobody may wait for it
    assert came.wait(10)
    assert told == ["process 1 of this run failed: no such clip"]


def test_processes_that_fail_alike_leave_in_order():
    board, told, alike = Board(), [], []
    with (
        heartbeat.Heartbeat(board, 0, told.append, every=0.2) as first,
        heartbeat.Heartbeat(board, 1, told.append, every=0.2) as second,
    ):
        threads = [
            threading.Thread(target=lambda each=each: alike.append(each.fail("one fault")))
            for each in (first, second)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert alike == [True, True]
    assert told == []
