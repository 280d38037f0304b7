"""Signals that ask a run to save and stop: those of a person, a terminal and a scheduler."""

import signal
import threading
from collections.abc import Callable
from typing import Any

# SIGTERM: kill, GKE, SLURM; SIGINT: Ctrl-C; SIGHUP: a closed terminal; SIGUSR1, SIGUSR2: SLURM's --signal and
# submitit's warning before a time limit, and Grid Engine's; SIGXCPU: a soft limit of processor time (Grid
# Engine, ulimit -S -t).
STOPPING = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)


class Handlers:
    """Context manager that installs one handler for all stop signals and restores the earlier ones.

    A signal that is ignored stays ignored (nohup ignores SIGHUP). Only the main thread installs handlers.

    Args:
        handler: called as handler(signal number, frame).
    """

    def __init__(self, handler: Callable[[int, Any], None]):
        self._handler = handler
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Handlers":
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class StopSignal:
    """Context manager that turns stop signals into a flag, which the loop reads between steps."""

    def __init__(self) -> None:
        self.came = False
        self._handlers = Handlers(self._note)

    def __enter__(self) -> "StopSignal":
        self._handlers.__enter__()
        return self

    def _note(self, number: int, frame: Any) -> None:
        if self.came and number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C stops without saving
        self.came = True

    def __exit__(self, *_: object) -> None:
        self._handlers.__exit__()
