"""Files that are changed in place: no planted link, pipe or device is followed, nothing is truncated."""

import os
import pathlib
from collections.abc import Callable

import pytest

from prismlab.core import errors
from prismlab.core.events import event_log
from prismlab.core.io import filesystem, in_place, locks
from prismlab.data.loader import bad_clips, source


def lock(path: pathlib.Path) -> None:
    """Hold a lock."""
    with locks.held(path):
        pass


def log(path: pathlib.Path) -> None:
    """Open an event log, which cuts off its last line."""
    event_log.EventLog(path, resume_step=0).close()


def ledger(path: pathlib.Path) -> None:
    """Note a bad clip."""
    bad_clips.Ledger(path, {"a": 9}, 1.0).note(0, "a", [1], ["why"])


def cache(path: pathlib.Path) -> None:
    """Lock an entry of the cache."""
    with source._alone(path.with_name(path.name[1:].removesuffix(".lock"))):
        pass


WRITERS = {
    ".lock": lock, "events.jsonl": log, "bad_clips.jsonl": ledger, ".shards-0.lock": cache,
    "log": lambda path: filesystem.append(path, b"x"),
}  # fmt: skip
EVENT = '{"step": 1, "time": 0, "kind": "train"}\n'


@pytest.mark.parametrize("name", WRITERS)
def test_a_planted_link_is_not_followed(tmp_path, name) -> None:
    victim, path = tmp_path / "victim", tmp_path / name
    # The ledger reads the file before: a line of its own kind leads it to append.
    victim.write_text('{"source": "a", "clip": 7}\n' if name == "bad_clips.jsonl" else EVENT)
    before = victim.read_bytes()
    path.symlink_to(victim)
    with pytest.raises(errors.UserError, match="expected a regular file, found a link"):
        WRITERS[name](path)
    assert victim.read_bytes() == before


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/null"), os.mkdir])
def test_what_is_no_file_is_refused_at_once(tmp_path, make: Callable[[pathlib.Path], None]) -> None:
    make(tmp_path / "log")
    with pytest.raises(errors.UserError, match=r"log: (expected a regular|cannot be)"):
        in_place.open_in_place(tmp_path / "log")


def test_content_stays_and_writes_are_appended(tmp_path) -> None:
    (tmp_path / "log").write_bytes(b"one\n")
    descriptor = in_place.open_in_place(tmp_path / "log")
    os.write(descriptor, b"two\n")
    os.close(descriptor)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
