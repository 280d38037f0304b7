"""Standard output and error that cannot stop a run: a reader that goes away is given up with one line.

`prismlab ablate ... | head` closes the pipe after a few lines; a full disk or a closed terminal fails in the
same way. What is printed serves a person; the results are in files.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Tolerant:
    """Text stream that drops what cannot be written, after one line on standard error.

    Args:
        stream: standard output or standard error.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._lost = False

    def write(self, text: str) -> int:
        """Write a text, or drop it once the reader has gone; return its length."""
        if not self._lost:
            try:
                return self._stream.write(text)
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless the reader has gone."""
        if not self._lost:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if isinstance(error, UnicodeError):
            raise error
        self._lost = True
        with contextlib.suppress(OSError, ValueError):
            # The interpreter flushes its buffer at exit, which would fail again and change the exit code.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if self._stream is sys.__stdout__:
            reason = getattr(error, "strerror", None) or error
            print(f"prismlab: standard output was lost ({reason}); continuing", file=sys.stderr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
    """Replace standard output and error for the time of a command."""
    before = sys.stdout, sys.stderr
    for name in ("stdout", "stderr"):
        # A process that was started with the stream closed (`>&-`, some daemons) has None in its place.
        stream = getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
        setattr(sys, name, Tolerant(stream))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def tell(line: str) -> None:
    """Write one line to standard error from a signal handler; what cannot be written is dropped."""
    with contextlib.suppress(OSError):
        os.write(2, f"prismlab: {line}\n".encode())
