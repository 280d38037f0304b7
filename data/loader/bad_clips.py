"""The ledger of bad clips: which clip of which source was a placeholder, when first, and why.

One JSON object a line, each clip of a source once; written by the reading process before the batch that
holds the placeholder is handed on, so what was trained on is always in the ledger.
"""

import json
import os
from collections.abc import Mapping, Sequence

from prismlab.core import errors
from prismlab.core.io import atomic, filesystem


class Ledger:
    """Notes bad clips of each source, and stops the run where there are too many."""

    def __init__(self, path: str | os.PathLike[str], clips: Mapping[str, int], max_bad_share: float):
        """Read what earlier runs noted.

        Args:
            path: the file, one JSON object a line; made when the first bad clip comes.
            clips: source -> number of its clips.
            max_bad_share: share of a source's clips that may be bad, in [0, 1].

        Raises:
            UserError: a line before the last one is damaged.
        """
        self._path, self._clips, self._share = filesystem.kept(path), dict(clips), max_bad_share
        self._known: set[tuple[str, int]] = set()
        self._read()

    def counts(self) -> dict[str, int]:
        """Return source -> number of its clips noted so far."""
        counts = dict.fromkeys(self._clips, 0)
        for home, _ in self._known:
            counts[home] = counts.get(home, 0) + 1
        return counts

    def note(self, step: int, home: str, clips: Sequence[int], reasons: Sequence[str]) -> None:
        """Note the bad clips of one batch.

        Args:
            step: step of the batch, from 0.
            home: its source.
            clips: number of each example's clip.
            reasons: why each is bad; empty for a good one.

        Raises:
            UserError: more of the source's clips are bad than allowed, or the disk is full.
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
        atomic.append(self._path, "".join(line + "\n" for line in lines).encode())
        self._known |= {(home, clip) for clip in fresh}
        bad, total = self.counts()[home], self._clips[home]
        if bad > self._share * total:
            raise errors.UserError(
                f"source {home!r}: {bad} of {total} clips are bad, loader.Line.max_bad_share="
                f"{self._share} allows {int(self._share * total)}; {self._path} names them: mend or leave "
                "them out, or allow more"
            )

    def _read(self) -> None:
        *lines, torn = atomic.read_if_there(self._path).split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                self._known.add((entry["source"], int(entry["clip"])))
            except (ValueError, KeyError, TypeError) as error:
                raise errors.UserError(
                    f"{self._path}, line {number}: wanted one bad clip as JSON, got '{error}'; "
                    "remove the line"
                ) from error
        if torn:  # a machine that stopped while writing; the clip comes again and is noted anew
            atomic.write_atomic(self._path, b"".join(line + b"\n" for line in lines))
