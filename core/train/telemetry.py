"""What a run tells of itself: speed, waiting, memory, compilations, and which host is late."""

import pathlib
import resource
import sys
import tempfile
import time
from typing import Any

import jax
import numpy as np

from prismlab.core import trees
from prismlab.core.io import atomic, filesystem

# Published peak of dense bf16 products, FLOP/s a chip, by the start of JAX's device_kind.
PEAKS = {
    "TPU v6 lite": 918e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v4": 275e12,
    "NVIDIA H200": 989e12,
    "NVIDIA H100": 989e12,
    "NVIDIA A100": 312e12,
}

_compilations = 0


def _count(event: str, duration_secs: float, **_: Any) -> None:
    global _compilations
    if event == "/jax/core/compile/backend_compile_duration":
        _compilations += 1


jax.monitoring.register_event_duration_secs_listener(_count)


def peak_of(device: Any) -> float | None:
    """Return the peak FLOP/s of a device, or None where no figure is published (such as a CPU)."""
    return next((peak for kind, peak in PEAKS.items() if device.device_kind.startswith(kind)), None)


class Meter:
    """Times steps between two lines of the log.

    Args (constructor):
        flops: floating point operations of one step on all devices, or None where nobody counted them.
    """

    def __init__(self, flops: float | None = None):
        self._flops = flops
        self._device = jax.local_devices()[0]
        self.start_wait()
        self._since, self._waited, self._clips = time.perf_counter(), 0.0, 0
        self._finished = self._since
        self._seconds: list[float] = []
        self.host_seconds = 0.0

    def start_wait(self) -> None:
        """Note that the loop asks for a batch."""
        self._asked = time.perf_counter()

    def got_batch(self, clips: int) -> None:
        """Note that a batch came.

        Args:
            clips: clips of the global batch.
        """
        self._waited += time.perf_counter() - self._asked
        self._clips += clips

    def dispatched(self) -> None:
        """Note that the step was handed to the device; the time since `start_wait` was this host's own."""
        self.host_seconds = time.perf_counter() - self._asked

    def finished(self) -> None:
        """Note that the device finished a step."""
        now = time.perf_counter()
        self._seconds.append(now - self._finished)
        self._finished = now

    def lap(self) -> dict[str, float]:
        """Return what is known since the last lap, by the names of the log.

        Returns:
            clips_per_second, clips_per_second_per_chip, data_wait (share), step_seconds_50 and _90
            (percentiles), memory_gib (of a device, or of the process where it has none of its own), and mfu.
        """
        now = time.perf_counter()
        seconds, chips = max(now - self._since, 1e-9), jax.device_count()
        found = {
            "clips_per_second": self._clips / seconds,
            "clips_per_second_per_chip": self._clips / seconds / chips,
            "data_wait": min(1.0, self._waited / seconds),
            "memory_gib": self.memory() / 2**30,
        }
        peak = peak_of(self._device)
        if self._seconds:
            for share in (50, 90):
                found[f"step_seconds_{share}"] = float(np.percentile(self._seconds, share))
            if self._flops is not None and peak is not None:
                found["mfu"] = self._flops / float(np.median(self._seconds)) / (peak * chips)
        self._since, self._waited, self._clips, self._seconds = now, 0.0, 0, []
        return found

    def memory(self) -> float:
        """Return the peak bytes of the device, or those of the process."""
        kept = self._device.memory_stats() or {}
        if "peak_bytes_in_use" in kept:
            return float(kept["peak_bytes_in_use"])
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def late(seconds: np.ndarray) -> dict[str, float]:
    """Return which process was late, from each one's own seconds before a step; {} for one process.

    Args:
        seconds: float [processes], from the end of a step to the start of the next.
    """
    if len(seconds) < 2:
        return {}
    worst = int(np.argmax(seconds))
    return {"slowest_host": float(worst), "slowest_host_seconds": float(seconds[worst] - np.median(seconds))}


class Recompiles:
    """Notices that a step was compiled anew and says which argument changed."""

    def __init__(self) -> None:
        self.count, self._calls, self._known = 0, 0, {}  # type: ignore[var-annotated]

    def before(self) -> None:
        """Note that the step is about to be called."""
        self._compiled = _compilations

    def after(self, *arguments: Any) -> str | None:
        """Compare a call with the first one.

        Args:
            arguments: what the step was called with; donated arrays still tell their shape.

        Returns:
            What changed, if a call after the second one was compiled; else None.
        """
        self._calls += 1
        anew = _compilations > self._compiled and self._calls > 2
        if self._known and not anew:
            return None
        signature = {
            path: f"{leaf.dtype.name}{list(leaf.shape)} {getattr(leaf.sharding, 'spec', leaf.sharding)}"
            for path, leaf in trees.flatten(arguments).items()
        }
        before, self._known = self._known, signature
        changed = [path for path in signature if signature[path] != before.get(path)]
        # Another thread may compile meanwhile (a checkpoint's copy, an augmentation): that is not the step.
        if not anew or not changed:
            return None
        self.count += 1
        path = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"{path}: {before.get(path, 'absent')} -> {signature[path]}{more}"


class Profile:
    """A profile of some steps, written for TensorBoard and xprof.

    Args (constructor):
        steps: first and last step, counted from 1; None for no profile.
        folder: where it is written.
    """

    def __init__(self, steps: tuple[int, int] | None, folder: filesystem.Place):
        self._steps, self._folder, self._runs = steps, folder, False
        self._spool: tempfile.TemporaryDirectory | None = None

    def at(self, step: int) -> None:
        """Start or stop, before a step is dispatched."""
        if self._steps is None:
            return
        if self._runs and step > self._steps[1]:
            self.close()
        elif not self._runs and self._steps[0] <= step <= self._steps[1]:
            if filesystem.is_remote(self._folder):  # the profiler writes files of this machine only
                self._spool = tempfile.TemporaryDirectory(prefix="prismlab-")
            jax.profiler.start_trace(self._spool.name if self._spool else str(self._folder))
            self._runs = True

    def close(self) -> None:
        """Write what was recorded, if anything was."""
        if self._runs:
            self._runs = False
            jax.profiler.stop_trace()
            if self._spool is not None:
                root = pathlib.Path(self._spool.name)
                for path in filter(pathlib.Path.is_file, root.rglob("*")):
                    atomic.write_atomic(self._folder / path.relative_to(root).as_posix(), path.read_bytes())
                self._spool.cleanup()
