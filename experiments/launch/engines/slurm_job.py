"""What runs in a SLURM job: `run-unit` as a process, which saves and is queued again at the time limit.

submitit pickles a `UnitJob` and calls it in each task of the job. Before the time limit, and at a preemption,
SLURM sends SIGUSR2; submitit then calls `checkpoint` and puts the job back into the queue.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
from typing import Any

from prismlab.experiments import exits

MOST = 100  # interruptions of one job until it fails


class Failed(Exception):
    """The unit failed; jobs that need it do not start."""


@dataclasses.dataclass
class UnitJob:
    """Callable of one unit.

    Args:
        words: the command of `run-unit`.
        cancel: name of the jobs to cancel if the unit fails (`--fail-fast`), or "".
        interruptions: how often the job was interrupted.
    """

    words: tuple[str, ...]
    cancel: str = ""
    interruptions: int = 0

    def __post_init__(self) -> None:
        self._process: int | None = None

    def __call__(self) -> str:
        """Run the unit in this task.

        Raises:
            Failed: it failed, was cancelled, or was interrupted too often.
        """
        cancelled: list[int] = []
        # `scancel` and a preemption also send SIGTERM to the unit; SLURM itself queues a preempted job again.
        signal.signal(signal.SIGTERM, lambda number, frame: cancelled.append(number))
        started = subprocess.Popen(self.words)
        self._process = started.pid
        code = started.wait()
        first = os.environ.get("SLURM_PROCID", "0") == "0"
        if code == exits.DONE:
            return "done"
        if code == exits.INTERRUPTED or code < 0:
            if not first:
                return "interrupted"  # the first task puts the job back into the queue
            if not cancelled and self.interruptions < MOST:
                os.kill(os.getpid(), signal.SIGUSR2)  # as SLURM does: submitit calls `checkpoint`
        elif self.cancel and first:
            subprocess.run(["scancel", "--name", self.cancel], check=False)
        raise Failed(f"{' '.join(self.words)} exited with {code}")

    def checkpoint(self) -> Any:
        """Let the unit save, and return what submitit runs when the job starts again."""
        import submitit

        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._process, signal.SIGTERM)
                # Not Popen.wait: this signal handler has interrupted it, and it holds its lock.
                os.waitid(os.P_PID, self._process, os.WEXITED | os.WNOWAIT)
        again = dataclasses.replace(self, interruptions=self.interruptions + 1)
        return submitit.helpers.DelayedSubmission(again)
