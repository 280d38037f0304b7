"""Heartbeat between processes of a multi-host run; when one dies, the others shut down cleanly.

Without it, a process that waits for a dead one (in a collective or a checkpoint barrier) hangs forever, or
JAX's own heartbeat aborts it after 100 seconds with a stack trace and an exit code unknown to launchers.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

FOLDER = "prismlab/alive/"
LEFT, FAILED = "left", "failed: "


@runtime_checkable
class Board(Protocol):
    """Key-value store shared by all processes, such as JAX's coordination service."""

    def key_value_set(self, key: str, value: str, allow_overwrite: bool) -> None:
        """Set a key to a value."""

    def key_value_dir_get(self, key: str) -> list[tuple[str, str]]:
        """Return all (key, value) pairs under a prefix."""


class Heartbeat:
    """Context manager with a thread that sends heartbeats and watches those of other processes.

    Args (constructor):
        board: key-value store shared by all processes; None for a single-process run (no heartbeat).
        own: index of this process.
        lost: called from the thread with a one-line message when another process is dead; should exit this
            process.
        every: seconds between two heartbeats.
        silent: seconds without a heartbeat after which a process counts as dead; must be below JAX's 100.
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
        """Announce to the other processes that this one failed, and wait briefly for them to exit.

        Args:
            why: one-line reason; the others print it.

        Returns:
            True if all others had already finished or failed by themselves. If False, some may be blocked
            waiting for this process; they exit on their own, and this process must not wait for them.
        """
        if self._board is None:
            return True
        self._word = FAILED + why
        self._done.set()
        self._thread.join()
        # Others exit at their second heartbeat from now. Process 0 hosts the board and has to exit last,
        # because JAX aborts a process whose coordination service is gone.
        until = time.monotonic() + (3 if self._own == 0 else 0.8) * self._every
        try:
            while time.monotonic() < until:
                if all(word.startswith((LEFT, FAILED)) for _, word in self._board.key_value_dir_get(FOLDER)):
                    return True
                time.sleep(self._every / 50)
        except Exception:  # the board is unreachable, so process 0 is dead
            pass
        return False

    def failure(self) -> str:
        """Return a one-line message naming the other processes that failed and why; "" if none did."""
        if self._board is None:
            return ""
        try:
            return self._failure(self._board.key_value_dir_get(FOLDER))
        except Exception:  # the board is unreachable
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
                if failed:  # seen one beat ago; if we had failed too, we would have exited by now
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
                    self._lost(f"process {who} of this run has sent no heartbeat for {self._silent:.0f} s")
                    return
                self._done.wait(self._every)
            self._board.key_value_set(f"{FOLDER}{self._own}", self._word, allow_overwrite=True)
        except Exception as error:  # the board is unreachable, so process 0, which hosts it, is dead
            reason = " ".join(str(error).split())[:200]
            self._lost(f"process 0 of this run cannot be reached ({reason})")
