"""The loop around the step: batches in, checkpoints and events out, an orderly end whatever happens.

Metrics stay on the device until the next step is dispatched, so logging never stalls it. A
checkpoint is written only after the loss and the gradient of its own step were seen to be finite.
"""

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax

from prismlab.core import errors
from prismlab.core.parallel import distributed, mesh, sharding
from prismlab.core.train import checkpoint, event_log, metrics, step, telemetry


class Interrupted(Exception):
    """SIGTERM or Ctrl-C came; the state was saved. The message says how to go on."""


class Lost(Exception):
    """Another process of this run is gone; the last checkpoint was kept."""


class Diverged(Exception):
    """The loss or its gradient is no longer finite; the last good checkpoint was kept."""


class StopSignal:
    """Turns SIGTERM and SIGINT into a flag that the loop reads between two steps."""

    def __init__(self) -> None:
        self.came = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        if self.came and number == signal.SIGINT:
            raise KeyboardInterrupt  # the second Ctrl-C does not wait for a save
        self.came = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@dataclasses.dataclass
class Report:
    """What the progress bar shows after a step.

    Args:
        step: steps taken.
        loss: loss of that step.
        clips_per_second: since the last report.
        data_wait: share of the time spent waiting for a batch, in [0, 1].
    """

    step: int
    loss: float
    clips_per_second: float
    data_wait: float


def run(
    state: step.TrainState,
    batches: Iterator[dict[str, np.ndarray]],
    teacher: Any,
    optimizer: optax.GradientTransformation,
    schedule: Callable[[int], Any],
    *,
    steps: int,
    frozen: tuple[str, ...],
    checkpoints: checkpoint.Checkpoints,
    log: event_log.EventLog | event_log.Silent,
    meta: dict[str, Any],
    checkpoint_every: int,
    log_every: int,
    show: Callable[[Report], None] = lambda _: None,
    layout: mesh.Layout | None = None,
    rules: sharding.Rules | None = None,
    accumulate: int = 1,
    local: bool = False,
    save_seconds: float | None = None,
    profile: tuple[int, int] | None = None,
    flops: float | None = None,
) -> step.TrainState:
    """Take the remaining steps of a stage and save the last state.

    Args:
        state: the state to go on from.
        batches: host batches from step `state.step` on.
        teacher: frozen towers, or None.
        optimizer: the transformation of this stage.
        schedule: step -> learning rate, for the log.
        steps: steps of the whole stage.
        frozen: path prefixes of the learner that stay as they are.
        checkpoints: where states are saved.
        log: where metrics are written.
        meta: plain values stored beside each checkpoint.
        checkpoint_every: steps between two checkpoints.
        log_every: steps between two lines of the log.
        show: told about each logged step.
        layout: how the devices are arranged; the default if None.
        rules: how state and teacher are split over them; the default ones if None.
        accumulate: parts in which each batch is encoded, one after the other.
        local: the batches hold the rows of this process only (`distributed.host_rows`).
        save_seconds: save when the last save is so long ago, by the clock of process 0; None never does.
        profile: first and last step to profile, from 1, or None.
        flops: of one step on all devices, for the MFU; None where nobody counted them.

    Returns:
        The state after the last step, on disk as well.

    Raises:
        Diverged: the loss or its gradient was not finite.
        Interrupted: a signal came, here or to another process; the state is on disk.
        Lost: another process of this run ended without a word.
        UserError: the data or the disk failed.
    """
    devices = (layout or mesh.Layout()).make()
    several = jax.process_count() > 1
    compiled = step.compile_step(
        state, optimizer, frozen, teacher, mesh=devices, rules=rules, accumulate=accumulate
    )
    arrays, static = eqx.partition(state, eqx.is_array)
    arrays = distributed.put(arrays, sharding.of(state, devices, rules))
    teacher_arrays = distributed.put(eqx.filter(teacher, eqx.is_array), sharding.of(teacher, devices, rules))
    done = int(state.step)
    clock, compilations, saved = telemetry.Meter(flops), telemetry.Recompiles(), time.monotonic()
    traced = telemetry.Profile(profile, checkpoints.directory.parent / "profile")
    beside = distributed.Beside(devices) if several else None
    news: Any = None
    pending: tuple[int, dict[str, metrics.Mean]] | None = None
    told: dict[str, Any] = {}
    try:
        with StopSignal() as stop:
            for batch in batches:
                clock.got_batch(len(batch["weight"]) * (distributed.host_rows(devices)[1] if local else 1))
                traced.at(done + 1)
                compilations.before()
                given = arrays, distributed.place(step.HostBatch(**batch), devices, local=local)
                arrays, named = compiled(*given, teacher_arrays)
                changed = compilations.after(*given)
                clock.dispatched()
                if changed is not None:
                    log.write(done + 1, "recompile", {"changed": changed})
                due = save_seconds is not None and time.monotonic() - saved >= save_seconds
                came = stop.came
                if beside is not None:
                    # What each host knew one step ago, so that all decide alike and nobody waits.
                    known = None if news is None else beside.read(news)
                    news = beside.post([came, due, clock.host_seconds])
                    if done + 1 == steps:
                        known = beside.read(news)
                    came, due = False, False
                    if known is not None:
                        came, due = bool(known[:, 0].any()), bool(known[0, 1]) and pending is not None
                        told = telemetry.late(known[:, 2])
                if pending is not None:  # the device is busy with the next step by now
                    _record(pending, log, schedule, clock, log_every, steps, show, told)
                done += 1
                pending = (done, named)
                if done == steps or done % checkpoint_every == 0 or came or due:
                    _record(pending, log, schedule, clock, log_every, steps, show, told)
                    pending = None
                    log.flush(sync=True)
                    checkpoints.save(eqx.combine(arrays, static), meta)
                    saved = time.monotonic()
                if came:  # after the last step too, or the next stage would begin
                    checkpoints.wait()
                    raise Interrupted(f"stopped after step {done} of {steps}; run the same command to go on")
                clock.start_wait()
        if done == 0:  # a stage of no steps: what it would start from is its result
            checkpoints.save(eqx.combine(arrays, static), meta)
        checkpoints.wait()
    except jax.errors.JaxRuntimeError as error:
        if not several:
            raise
        reason = " ".join(str(error).split())[:200]
        raise Lost(f"another process of this run is gone after step {done} ({reason})") from error
    finally:
        traced.close()
    assert done == steps, f"the loader ended after {done} of {steps} steps"
    return eqx.combine(arrays, static)


def _record(
    pending: tuple[int, dict[str, metrics.Mean]],
    log: event_log.EventLog | event_log.Silent,
    schedule: Callable[[int], Any],
    clock: telemetry.Meter,
    log_every: int,
    steps: int,
    show: Callable[[Report], None],
    told: dict[str, Any],
) -> None:
    """Fetch one step's metrics, refuse a loss or gradient that is not finite, write and show them."""
    at, named = pending
    loss, norm = float(named["loss"].value), float(named["gradient_norm"].value)
    clock.finished()
    # A finite loss may have a gradient that is not: then the state after this step is already broken.
    if not math.isfinite(loss + norm):
        values = {name: float(mean.value) for name, mean in named.items()}
        broken = ", ".join(f"{name}={value}" for name, value in values.items() if not math.isfinite(value))
        raise Diverged(
            f"loss or gradient is not finite at step {at} ({broken}); "
            "lower the learning rate or clip the gradient"
        )
    if at % log_every and at != steps and at != 1:
        return
    values = {
        name: float(value) for name, value in jax.device_get({n: m.value for n, m in named.items()}).items()
    }
    speed = clock.lap()
    log.write(at, "train", {**values, "learning_rate": float(schedule(at - 1)), **speed, **told})
    show(Report(at, loss, speed["clips_per_second"], speed["data_wait"]))


def batches_of(items: Iterable[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    """Return an iterator that passes on the loader's message for the user when a clip is bad.

    Loader threads wrap what they raise; the first UserError in the chain of causes is the one to show.

    Args:
        items: the loader.
    """
    iterator = iter(items)
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, errors.UserError):
                cause = cause.__cause__ or cause.__context__
            if cause is not None:
                raise cause from None
            raise
        yield item
