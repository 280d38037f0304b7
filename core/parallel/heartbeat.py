"""Each process of a run tells the others that it lives; when one falls silent, the rest end in order.

Without this, a process that waits for a dead one (in a collective, at a checkpoint's barrier) waits for ever
or is aborted by JAX's own watch after 100 seconds, with a stack trace and a code that no launcher knows.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

FOLDER = "prismlab/alive/"
LEFT, FAILED = "left", "failed: "


@runtime_checkable
class Board(Protocol):
    """Where processes leave words for each other; JAX's coordination service is one."""

    def key_value_set(self, key: str, value: str, allow_overwrite: bool) -> None:
        """Leave a word."""

    def key_value_dir_get(self, key: str) -> list[tuple[str, str]]:
        """Return all words under a prefix."""


class Heartbeat:
    """A thread that beats and listens until the context is left.

    Args (constructor):
        board: shared by all processes; None for a run of one process, which needs no beat.
        own: this process.
        lost: told one line, from the thread, when another process is silent; should end this process.
        every: seconds between two beats.
        silent: seconds without a beat after which a process counts as gone; below JAX's 100.
    """

    def __init__(
        self,
        board: Board | None,
        own: int,
        lost: Callable[[str], Any],
        every: float = 5.0,
        silent: float = 60.0,
    ):
        self._board, self._own, self._lost, self._every, self._silent = board, own, lost, every, silent
        self._done, self._word = threading.Event(), LEFT
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        if self._board is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is None:
            return
        self._done.set()
        self._thread.join()

    def fail(self, why: str) -> bool:
        """Leave word why this process ends, and wait a little for the others to end as well.

        Args:
            why: one line; the others show it.

        Returns:
            Whether all came to their end by themselves, by the same fault or done. If not, those that wait
            for this process are told and end meanwhile, and this one must not wait for them.
        """
        if self._board is None:
            return True
        self._word = FAILED + why
        self._done.set()
        self._thread.join()
        # Others end at their second beat from now. The keeper of the board ends after them and all others
        # before, for JAX aborts a process whose board is gone.
        until = time.monotonic() + (3 if self._own == 0 else 0.8) * self._every
        try:
            while time.monotonic() < until:
                if all(word.startswith((LEFT, FAILED)) for _, word in self._board.key_value_dir_get(FOLDER)):
                    return True
                time.sleep(self._every / 50)
        except Exception:  # the board is gone, and with it process 0
            pass
        return False

    def failure(self) -> str:
        """Return which other process failed and why, in one line; "" where none has left word of it."""
        if self._board is None:
            return ""
        try:
            return self._failure(self._board.key_value_dir_get(FOLDER))
        except Exception:  # the board is gone, and its words with it
            return ""

    def _failure(self, words: list[tuple[str, str]]) -> str:
        others = {name.rpartition("/")[2]: word for name, word in words if word.startswith(FAILED)}
        others.pop(str(self._own), None)
        return " and ".join(f"process {who} of this run {others[who]}" for who in sorted(others))

    def _run(self) -> None:
        assert self._board is not None
        heard: dict[str, tuple[str, float]] = {}
        beat, failed = 0, ""
        try:
            while not self._done.is_set():
                beat += 1
                self._board.key_value_set(f"{FOLDER}{self._own}", str(beat), allow_overwrite=True)
                if failed:  # told at the last beat: it was not our own fault as well, or we had ended by now
                    self._lost(failed)
                    return
                now = time.monotonic()
                words = self._board.key_value_dir_get(FOLDER)
                for name, word in words:
                    if heard.get(name, ("", 0.0))[0] != word:
                        heard[name] = word, now
                failed = self._failure(words)
                late = [
                    name for name, (word, at) in heard.items() if word != LEFT and now - at > self._silent
                ]
                if late:
                    who = " and ".join(sorted(name.rpartition("/")[2] for name in late))
                    self._lost(
                        f"process {who} of this run has given no sign of life for {self._silent:.0f} s"
                    )
                    return
                self._done.wait(self._every)
            self._board.key_value_set(f"{FOLDER}{self._own}", self._word, allow_overwrite=True)
        except Exception as error:  # the board is gone, and with it process 0, which keeps it
            reason = " ".join(str(error).split())[:200]
            self._lost(f"process 0 of this run cannot be reached ({reason})")
