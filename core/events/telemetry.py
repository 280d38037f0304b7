"""Training telemetry: throughput, data wait, memory, MFU, recompilations, stragglers and profiling."""

import contextlib
import functools
import pathlib
import resource
import sys
import tempfile
import time
from typing import Any

import jax
import numpy as np

from prismlab.core import trees
from prismlab.core.io import filesystem

# Published dense bf16 peak with float32 accumulation in FLOP/s per chip, by JAX's device_kind. Whole names:
# cards whose names begin alike have other peaks (H100 PCIe, RTX 4090 D), and a device that is not listed has
# no MFU. Sources: cloud.google.com/tpu/docs; NVIDIA's data sheets of A100, H100, H100 NVL, H200 and L40S
# (half of what they state with sparsity); NVIDIA Ada GPU architecture, appendix A (RTX 4090).
PEAKS = {
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v4": 275e12,
    "NVIDIA H200": 989e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA GeForce RTX 4090": 165.2e12,
}

_compilations = 0


def _count(event: str, duration_secs: float, **_: Any) -> None:
    global _compilations
    if event == "/jax/core/compile/backend_compile_duration":
        _compilations += 1


@functools.cache
def _listen() -> None:
    jax.monitoring.register_event_duration_secs_listener(_count)


def peak_of(device: Any) -> float | None:
    """Return the peak FLOP/s of a device, or None if it is not in `PEAKS` (such as for a CPU)."""
    return PEAKS.get(device.device_kind)


class Meter:
    """Step timer and throughput meter.

    Args (constructor):
        flops: FLOPs of one step on all devices, or None if unknown.
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
        """Record that the loop requests a batch."""
        self._asked = time.perf_counter()

    def got_batch(self, clips: int) -> None:
        """Record that a batch arrived.

        Args:
            clips: number of clips in the global batch.
        """
        self._waited += time.perf_counter() - self._asked
        self._clips += clips

    def dispatched(self) -> None:
        """Record that the step was dispatched; the time since `start_wait` was spent on this host."""
        self.host_seconds = time.perf_counter() - self._asked

    def finished(self) -> None:
        """Record that the device finished a step."""
        now = time.perf_counter()
        self._seconds.append(now - self._finished)
        self._finished = now

    def lap(self) -> dict[str, float]:
        """Return the measurements since the last lap, by log key.

        Returns:
            clips_per_second, clips_per_second_per_chip, data_wait (fraction), step_seconds_50 and _90
            (percentiles), memory_gib (peak accelerator memory, or that of the process on CPU), and mfu.
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
        """Return the peak memory of the device in bytes, or that of the process on CPU."""
        kept = self._device.memory_stats() or {}
        if "peak_bytes_in_use" in kept:
            return float(kept["peak_bytes_in_use"])
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def late(seconds: np.ndarray) -> dict[str, float]:
    """Return the straggler process and its delay; {} for a single process.

    Args:
        seconds: float [processes], host seconds of each process between two steps.
    """
    if len(seconds) < 2:
        return {}
    worst = int(np.argmax(seconds))
    return {"slowest_host": float(worst), "slowest_host_seconds": float(seconds[worst] - np.median(seconds))}


class Recompiles:
    """Detects recompilations of the step and reports which argument changed."""

    def __init__(self) -> None:
        self.count, self._calls, self._known = 0, 0, {}  # type: ignore[var-annotated]

    def before(self) -> None:
        """Record that the step is about to be called."""
        _listen()
        self._compiled = _compilations

    def after(self, *arguments: Any) -> str | None:
        """Compare the arguments of a call with those of the previous compilation.

        Args:
            arguments: the arguments of the step; donated arrays still have their shapes.

        Returns:
            What changed, if a call after the second one was compiled, else None.
        """
        self._calls += 1
        again = _compilations > self._compiled and self._calls > 2
        if self._known and not again:
            return None
        signature = {
            path: f"{leaf.dtype.name}{list(leaf.shape)} {getattr(leaf.sharding, 'spec', leaf.sharding)}"
            for path, leaf in trees.flatten(arguments).items()
        }
        before, self._known = self._known, signature
        changed = [path for path in signature if signature[path] != before.get(path)]
        # Not the step: other threads may compile too (a checkpoint copy, an augmentation).
        if not again or not changed:
            return None
        self.count += 1
        path = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"{path}: {before.get(path, 'absent')} -> {signature[path]}{more}"


class Profile:
    """JAX profiler trace of a range of steps, for TensorBoard and xprof.

    Args (constructor):
        steps: first and last step, counted from 1; None for no profile.
        folder: output folder.
    """

    def __init__(self, steps: tuple[int, int] | None, folder: filesystem.Path):
        self._steps, self._folder, self._runs = steps, folder, False
        self._spool: tempfile.TemporaryDirectory[str] | None = None

    def at(self, step: int) -> None:
        """Start or stop the trace; call before a step is dispatched."""
        if self._steps is None:
            return
        if self._runs and step > self._steps[1]:
            self.close()
        elif not self._runs and self._steps[0] <= step <= self._steps[1]:
            if filesystem.is_remote(self._folder):  # the profiler writes local files only
                self._spool = tempfile.TemporaryDirectory(prefix="prismlab-")
            jax.profiler.start_trace(self._spool.name if self._spool else str(self._folder))
            self._runs = True

    def close(self) -> None:
        """Stop the trace and write it, if one is running."""
        if self._runs:
            self._runs = False
            with self._spool or contextlib.nullcontext():
                jax.profiler.stop_trace()
                if self._spool is not None:
                    root = pathlib.Path(self._spool.name)
                    for path in filter(pathlib.Path.is_file, root.rglob("*")):
                        filesystem.write_atomic(
                            self._folder / path.relative_to(root).as_posix(), path.read_bytes()
                        )
