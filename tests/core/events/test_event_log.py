"""The event log: what is read equals what was written, and a resumed log equals an uninterrupted one."""

import errno
import json
import math
import os
import shutil

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.events import event_log
from prismlab.core.io import filesystem

few = hypothesis.settings(max_examples=25, deadline=None)
scalars = st.dictionaries(
    st.sampled_from(["loss", "loss/masked", "clips", "note"]),
    st.one_of(
        st.floats(allow_nan=False),
        st.integers(-(2**40), 2**40),
        st.booleans(),
        st.none(),
        st.text(max_size=5).filter(lambda text: text not in ("nan", "inf", "-inf")),
    ),
)


def without_time(path):
    return [
        {name: value for name, value in event.items() if name != "time"} for event in event_log.read(path)
    ]


@few
@hypothesis.given(st.lists(scalars, max_size=6))
def test_what_is_read_equals_what_was_written(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    with event_log.EventLog(path) as log:
        for step, values in enumerate(written):
            log.write(step, "train", values)
    assert without_time(path) == [{"step": s, "kind": "train", **v} for s, v in enumerate(written)]


@few
@hypothesis.given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 40))
def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path_factory, checkpoint, lost, torn):
    folder = tmp_path_factory.mktemp("log")

    def train(name, first, last, resume):
        with event_log.EventLog(folder / name, resume_step=resume) as log:
            for step in range(first, last + 1):
                log.write(step, "train", {"loss": 1.0 / (1 + step)})
                if step % 4 == 0:
                    log.write(step, "eval", {"accuracy": step / 100})

    train("whole", 1, 30, 0)
    train("cut", 1, checkpoint + lost, 0)
    with open(folder / "cut", "ab") as file:
        file.write(b'{"step": 31, "time": 1.0, "kind": "train", "loss": 1}'[:torn])
    train("cut", checkpoint + 1, 30, checkpoint)
    assert without_time(folder / "cut") == without_time(folder / "whole")


def test_lines_of_a_later_step_wait_for_those_of_an_open_one(tmp_path):
    with event_log.EventLog(tmp_path / "log.jsonl", flush_seconds=0.0) as log:
        log.hold_after(1)
        log.write(2, "batch", {})
        log.write(1, "train", {})
        log.flush(sync=True)
        assert [line["step"] for line in event_log.read(tmp_path / "log.jsonl")] == [1]
        log.hold_after(None)
        log.write(2, "train", {})
        log.hold_after(2)
        log.write(3, "batch", {})  # closing writes it
    kinds = [(line["step"], line["kind"]) for line in event_log.read(tmp_path / "log.jsonl")]
    assert kinds == [(1, "train"), (2, "batch"), (2, "train"), (3, "batch")]


def test_without_a_resume_step_whole_lines_stay(tmp_path):
    path = tmp_path / "events.jsonl"
    for step in (5, 3):
        with event_log.EventLog(path) as log:
            log.write(step, "train", {})
    assert [event["step"] for event in event_log.read(path)] == [5, 3]


def test_numbers_that_are_not_finite_stay_valid_json(tmp_path):
    path = tmp_path / "events.jsonl"
    with event_log.EventLog(path, clock=lambda: 7.0) as log:
        log.write(1, "train", {"a": math.nan, "b": -math.inf, "c": np.float32(np.inf), "d": np.float32(0.5)})
    line = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert line == {"step": 1, "time": 7.0, "kind": "train", "a": "nan", "b": "-inf", "c": "inf", "d": 0.5}
    (event,) = event_log.read(path)
    assert math.isnan(event["a"])
    assert event["b"] == -math.inf


def test_lines_wait_no_longer_than_the_flush_time(tmp_path):
    now = [0.0]
    path = tmp_path / "events.jsonl"
    with event_log.EventLog(path, flush_seconds=2.0, clock=lambda: now[0]) as log:
        log.write(1, "train", {})
        assert path.read_bytes() == b""
        now[0] = 2.0
        log.write(2, "train", {})
        assert len(event_log.read(path)) == 2
        log.write(3, "train", {})
        log.flush(sync=True)
        assert len(event_log.read(path)) == 3


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"step": 1, "time": 0, "kind": "a"}\nrubbish\n{"step": 2, "time": 0, "kind": "a"}\n')
    with pytest.raises(errors.UserError, match="line 2"):
        event_log.read(path)


def test_a_missing_log_is_named(tmp_path):
    with pytest.raises(errors.UserError, match="no such file"):
        event_log.read(tmp_path / "events.jsonl")


def test_a_value_that_is_no_scalar_is_refused(tmp_path):
    with event_log.EventLog(tmp_path / "events.jsonl") as log, pytest.raises(TypeError, match="'loss'"):
        log.write(1, "train", {"loss": [1.0]})


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "made again"])
def test_a_log_that_was_deleted_stops_the_run_and_does_not_come_back(tmp_path, again):
    path = tmp_path / "run" / "events.jsonl"
    log = event_log.EventLog(path, clock=lambda: 0.0)
    log.write(1, "train", {})
    log.flush()
    shutil.rmtree(path.parent)
    if again:
        path.parent.mkdir()
        path.touch()
    log.write(2, "train", {})
    for end in (log.flush, log.close):
        with pytest.raises(
            errors.UserError, match=r"events\.jsonl: was deleted while this process wrote to it"
        ):
            end()
    assert path.parent.exists() == again
    assert not again or path.read_bytes() == b""


def test_a_full_disk_leaves_whole_lines_and_says_so(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    log = event_log.EventLog(path, flush_seconds=0.0)
    log.write(1, "train", {"loss": 1.0})
    write = os.write

    def half(descriptor, data):
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(errors.UserError, match="disk or the quota is full"):
        log.write(2, "train", {"loss": 1.0})
    monkeypatch.undo()
    log.close()
    assert [event["step"] for event in event_log.read(path)] == [1]
    assert path.read_bytes().endswith(b"\n")


def test_an_atomic_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "table.json"
    filesystem.write_atomic(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.UserError, match="free some space"):
        filesystem.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_never_seen_half_written(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "table.json"
    filesystem.write_atomic(path, b"old")
    seen = []
    replace = os.replace

    def watched(source, target):
        seen.append(path.read_bytes())
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    filesystem.write_atomic(path, b"new")
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"
