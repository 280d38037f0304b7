"""Ledger of bad clips: JSON lines with the source, clip, first step and reason of each bad clip.

Each clip of a source is logged once. The reading process writes the line before it returns the batch with the
padding example, so the ledger is complete for every step that was trained.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from prismlab.core import errors
from prismlab.core.io import filesystem


@runtime_checkable
class Notes(Protocol):
    """What a stream needs to report bad clips."""

    def note(self, step: int, home: str, clips: Sequence[int], reasons: Sequence[str]) -> None:
        """Take the clips of one batch; see `Ledger.note`."""
        ...


class Ledger:
    """Log of bad clips; raises when a source has more than the allowed fraction."""

    def __init__(self, path: str | os.PathLike[str], clips: Mapping[str, int], max_bad_share: float):
        """Open the ledger and read the entries of earlier runs.

        Args:
            path: the JSON lines file; created at the first bad clip.
            clips: source -> number of its clips.
            max_bad_share: maximum fraction of a source's clips that may be bad, in [0, 1].

        Raises:
            UserError: a line before the last one is corrupt.
        """
        self._path, self._clips, self._share = filesystem.as_path(path), dict(clips), max_bad_share
        self._known: set[tuple[str, int]] = set()
        self._read()

    def counts(self) -> dict[str, int]:
        """Return source -> number of bad clips logged so far."""
        counts = dict.fromkeys(self._clips, 0)
        for home, _ in self._known:
            counts[home] = counts.get(home, 0) + 1
        return counts

    def note(self, step: int, home: str, clips: Sequence[int], reasons: Sequence[str]) -> None:
        """Log the bad clips of one batch.

        Args:
            step: step of the batch, from 0.
            home: name of its source.
            clips: clip index of each example.
            reasons: why each clip is bad; empty for a good one.

        Raises:
            UserError: the source has more bad clips than allowed, or the disk is full.
        """
        fresh = {
            int(clip): reason
            for clip, reason in zip(clips, reasons)
            if reason and (home, int(clip)) not in self._known
        }
        if not fresh:
            return
        lines = [
            json.dumps({"source": home, "clip": clip, "step": step, "reason": reason}, ensure_ascii=False)
            for clip, reason in fresh.items()
        ]
        filesystem.append(self._path, "".join(line + "\n" for line in lines).encode())
        self._known |= {(home, clip) for clip in fresh}
        bad, total = self.counts()[home], self._clips[home]
        if bad > self._share * total:
            raise errors.UserError(
                f"source {home!r}: {bad} of {total} clips are bad, loader.Line.max_bad_share="
                f"{self._share} allows {int(self._share * total)}; they are listed in {self._path}: fix or "
                "remove them, or raise the limit"
            )

    def _read(self) -> None:
        *lines, torn = filesystem.read_if_exists(self._path).split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                self._known.add((entry["source"], int(entry["clip"])))
            except (ValueError, KeyError, TypeError) as error:
                raise errors.UserError(
                    f"{self._path}, line {number}: expected a JSON object of a bad clip, got '{error}'; "
                    "remove the line"
                ) from error
        if torn:  # an interrupted write; the clip is read again and logged then
            filesystem.write_atomic(self._path, b"".join(line + b"\n" for line in lines))
