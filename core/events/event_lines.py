"""Lines of an event log: read one by one, and cut off after a step, in bounded memory."""

import io
import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from prismlab.core import errors
from prismlab.core.io import file_errors, filesystem, in_place

# JSON cannot represent these; they are written as strings and read back as numbers.
NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
OWN_FIELDS = ("step", "time", "kind")
_LONGEST = 2**20  # bytes of a line
_AHEAD = 2**18  # bytes read at once: a bucket gets a request for each
_BLOCK = 2**16  # bytes read at once from the end


def _parse(line: bytes) -> dict[str, Any] | None:
    """Parse one line; return None if it is not a complete event."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not line.endswith(b"\n") or not isinstance(event, dict) or not isinstance(event.get("kind"), str):
        return None
    step = event.get("step")
    whole = isinstance(step, int) and not isinstance(step, bool) and 0 <= step < 2**63
    return event if whole and "time" in event else None


def _invalid(path: filesystem.Path, where: str) -> errors.UserError:
    return errors.UserError(
        f"expected one JSON event per line in {path}, but {where} is not one: "
        "repair or remove that line, or start the run in a new folder"
    )


def events(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Iterate over the events of a log, oldest first; an incomplete last line is dropped.

    Args:
        path: the log file.

    Yields:
        A dictionary per line: step, time, kind and the scalars. "nan", "inf" and "-inf" become numbers.

    Raises:
        UserError: the file is missing, or a line before the last one is invalid.
    """
    source = filesystem.as_path(path)
    if not source.is_file():
        raise errors.UserError(f"expected an event log at {source}, found no such file; check the folder")
    with (
        file_errors.translate_errors(source),
        source.open("rb") as raw,
        io.BufferedReader(raw, _AHEAD) as file,
    ):
        number = 0
        while line := file.readline(_LONGEST):
            number += 1
            event = _parse(line)
            if event is None:
                # A crash may leave a last line of the right length but without its content.
                if file.read(1):
                    raise _invalid(source, f"line {number}")
                return
            for name, value in event.items():
                if isinstance(value, str) and value in NOT_FINITE and name not in OWN_FIELDS:
                    event[name] = NOT_FINITE[value]
            yield event


def _blocks(path: pathlib.Path) -> Iterator[tuple[int, list[bytes]]]:
    """Yield (offset of the first line, lines with their ends) of blocks of whole lines, last block first."""
    with path.open("rb") as file:
        position, rest = file.seek(0, os.SEEK_END), b""
        while position > 0:
            start = max(0, position - _BLOCK)
            file.seek(start)
            block = file.read(position - start) + rest
            # The block begins within a line, or is all of one line: complete it with the block before.
            begin = 0 if start == 0 else (block.find(b"\n") + 1 or len(block))
            rest, position = block[:begin], start
            *whole, last = block[begin:].split(b"\n")
            if whole or last:
                yield start + begin, [line + b"\n" for line in whole] + ([last] if last else [])


def cut(path: pathlib.Path, resume_step: int | None, name: filesystem.Path) -> None:
    """Remove the lines of steps after `resume_step`, and a last line that is not complete.

    The file is read from its end, up to a block of lines that all stay: steps ascend, except among
    neighbouring lines.

    Args:
        path: the log file.
        resume_step: last step to keep; None keeps all.
        name: path of the log for messages.

    Raises:
        UserError: a line before the last one is invalid, or the disk is full.
    """
    size = path.stat().st_size
    first: int | None = None  # offset of the first line to remove
    after: list[bytes] = []  # lines that stay after it
    stay: list[bytes] = []  # lines that stay in all blocks read so far
    for offset, lines in _blocks(path):
        here: list[bytes] = []
        removed: tuple[int, int] | None = None  # offset of the first line to remove, number of lines before
        for line in lines:
            event = _parse(line)
            if event is None and offset + len(line) != size:
                raise _invalid(name, f"the line at byte {offset}")
            if event is not None and (resume_step is None or event["step"] <= resume_step):
                here.append(line)
            elif removed is None:
                removed = offset, len(here)
            offset += len(line)
        if removed is None:
            break
        first, after = removed[0], here[removed[1] :] + stay
        stay = here + stay
    if first is not None:
        _keep(path, first, b"".join(after))


def _keep(path: pathlib.Path, size: int, tail: bytes) -> None:
    """Replace a file atomically with its first `size` bytes and a tail."""
    if not tail:
        with os.fdopen(in_place.open_in_place(path), "ab") as file:
            file.truncate(size)
        return
    with filesystem.atomic_file(path) as temporary, path.open("rb") as source, temporary.open("wb") as target:
        while (left := size - target.tell()) > 0:
            target.write(source.read(min(left, _BLOCK)))
        target.write(tail)
