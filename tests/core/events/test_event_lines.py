"""Lines of an event log: cutting from the end equals filtering the whole file, without reading it."""

import json
import pathlib
import tracemalloc

import hypothesis
import pytest
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.events import event_lines


def line(step, kind="train", **values):
    return json.dumps({"step": step, "time": 0, "kind": kind, **values}).encode() + b"\n"


@hypothesis.given(
    st.lists(st.integers(1, 60), min_size=0, max_size=60),
    st.one_of(st.none(), st.integers(0, 60)),
    st.integers(120, 400),
    st.sampled_from([b"", b'{"step": 61, "ti', b"\0\0\0\n", b"rubbish"]),
)
def test_cutting_from_the_end_equals_filtering(tmp_path_factory, steps, resume, block, torn):
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    steps = sorted(steps)
    for place in range(0, len(steps) - 1, 3):  # a recompilation is logged before the step that it follows
        steps[place : place + 2] = steps[place : place + 2][::-1]
    path.write_bytes(b"".join(line(step, note="x" * (step % 7)) for step in steps) + torn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_lines, "_BLOCK", block)
        event_lines.cut(path, resume, path)
    kept = [step for step in steps if resume is None or step <= resume]
    assert path.read_bytes() == b"".join(line(step, note="x" * (step % 7)) for step in kept)
    assert [path] == list(path.parent.iterdir())


def test_a_line_longer_than_a_block_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(event_lines, "_BLOCK", 16)
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(1, note="y" * 500) + line(2, note="z" * 500) + line(3))
    event_lines.cut(path, 2, path)
    assert [event["step"] for event in event_lines.events(path)] == [1, 2]


def test_resuming_reads_only_the_end(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(line(step) for step in range(5000)))
    parsed = []
    parse = event_lines._parse
    monkeypatch.setattr(event_lines, "_BLOCK", 4096)
    monkeypatch.setattr(event_lines, "_parse", lambda text: parsed.append(text) or parse(text))
    event_lines.cut(path, 4990, path)
    assert len(parsed) < 300
    assert path.read_bytes().endswith(line(4990))


def test_events_are_read_in_bounded_memory(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(1, note="x" * 1000) * 5000)
    tracemalloc.start()
    assert sum(1 for _ in event_lines.events(path)) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6 < path.stat().st_size


@pytest.mark.parametrize(
    "text",
    [b"rubbish\n", b"[" * 9999 + b"\n", line(-1), line(True), line(10**30), line(1, kind=3), b"{}\n", b"\n"],
)
def test_a_line_that_is_not_an_event_is_named(tmp_path, text):
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(1) + text + line(2))
    with pytest.raises(errors.UserError, match=r"but line 2 is not one"):
        list(event_lines.events(path))
    with pytest.raises(errors.UserError, match=r"the line at byte \d+ is not one"):
        event_lines.cut(path, 1, pathlib.Path("log"))


def test_a_line_without_end_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(event_lines, "_LONGEST", 100)
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(1) + b'"' + b"x" * 1000)
    with pytest.raises(errors.UserError, match="line 2"):
        list(event_lines.events(path))
