"""Launch workers as local processes."""

import os
import signal
import subprocess
import time

from prismlab.core import errors
from prismlab.core.events import stop_signal
from prismlab.experiments import exits
from prismlab.experiments.launch import worker_command


def environments(order: worker_command.Order) -> list[dict[str, str]]:
    """Return the extra environment variables of each worker; GPUs in CUDA_VISIBLE_DEVICES are distributed.

    Raises:
        UserError: there are more workers than listed GPUs, or a setting is given.
    """
    if order.settings:
        raise errors.UserError(f"--launcher local accepts no --setting, got {sorted(order.settings)}")
    listed = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    if not listed:
        return [{} for _ in range(order.jobs)]
    if order.jobs > len(listed):
        raise errors.UserError(
            f"--jobs {order.jobs}, but CUDA_VISIBLE_DEVICES lists {len(listed)}; use --jobs {len(listed)}"
        )
    return [{"CUDA_VISIBLE_DEVICES": ",".join(listed[i :: order.jobs])} for i in range(order.jobs)]


def preview(order: worker_command.Order) -> str:
    """Return the commands that `run` would start."""
    lines = []
    for added in environments(order):
        lines.append(" ".join([*(f"{name}={value}" for name, value in added.items()), order.line()]))
    return "\n".join(lines)


def run(order: worker_command.Order) -> int:
    """Start the workers and wait for them; stop signals are forwarded to all as SIGTERM.

    Returns:
        75 if a worker was interrupted, the largest exit code if all workers failed, otherwise 0.
    """
    started = [subprocess.Popen(order.words(), env={**os.environ, **added}) for added in environments(order)]

    def pass_on(number: int, frame: object) -> None:
        for each in started:
            if each.poll() is None:
                each.send_signal(signal.SIGTERM)

    try:
        with stop_signal.Handlers(pass_on):
            while any(each.poll() is None for each in started):
                time.sleep(0.2)
    finally:
        for each in started:
            if each.poll() is None:
                each.terminate()
                each.wait()
    # A killed worker is not an error if the others finished its work; the table shows what is missing.
    codes = [each.returncode for each in started if each.returncode]
    return (
        exits.INTERRUPTED if exits.INTERRUPTED in codes else (0 if len(codes) < len(started) else max(codes))
    )
