"""Training loop of a stage, with logging, checkpoints, signal handling and divergence checks.

Metrics stay on the device until the next step is dispatched, so logging never blocks it. A checkpoint
is written only after the loss and the gradient of its own step were found to be finite.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np

from prismlab.core import errors
from prismlab.core.events import event_log, stop_signal, telemetry
from prismlab.core.parallel import distributed, mesh, sharding
from prismlab.core.train import metrics, traced_numbers
from prismlab.core.train.checkpoints import checkpoint
from prismlab.core.train.loops import co_training
from prismlab.core.train.steps import objective_gradients, step


class Interrupted(Exception):
    """Stopped by a signal (`stop_signal.STOPPING`) after saving the state."""


class Lost(Exception):
    """Another process of this run died; the last checkpoint was kept."""


class Diverged(Exception):
    """The loss or its gradient is not finite; the last good checkpoint was kept."""


@dataclasses.dataclass
class Report:
    """Values shown by the progress bar after a step.

    Args:
        step: steps taken.
        loss: loss of that step.
        clips_per_second: since the last report.
        data_wait: fraction of the time spent waiting for a batch, in [0, 1].
    """

    step: int
    loss: float
    clips_per_second: float
    data_wait: float


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a stage is run and watched; nothing here decides what is computed.

    Args:
        checkpoint_every: steps between two checkpoints.
        checkpoint_minutes: also save so many minutes after the last save, or None.
        log_every: steps between two lines of the event log.
        gradients_every: lines of the event log between two measurements of each objective's gradient
            (`objective_gradients`), or None. A program of its own measures: the trained bits stay the same,
            and a measured step costs about two steps.
        profile: first and last step to profile (from 1), for TensorBoard or xprof, or None.
        layout: sizes of the mesh axes.
        rules: sharding rules of state and teacher.
    """

    checkpoint_every: int = 200
    checkpoint_minutes: float | None = None
    log_every: int = 10
    gradients_every: int | None = None
    profile: tuple[int, int] | None = None
    layout: mesh.Layout = dataclasses.field(default_factory=mesh.Layout)
    rules: sharding.Rules = dataclasses.field(default_factory=sharding.Rules)

    def __post_init__(self) -> None:
        for field in ("checkpoint_every", "log_every"):
            if getattr(self, field) < 1:
                raise errors.UserError(f"{field} must be at least 1, got {getattr(self, field)}")
        if self.gradients_every is not None and self.gradients_every < 1:
            raise errors.UserError(
                f"gradients_every must be at least 1, or None for never, got {self.gradients_every}"
            )
        if self.checkpoint_minutes is not None and self.checkpoint_minutes <= 0:
            raise errors.UserError(f"checkpoint_minutes must be positive, got {self.checkpoint_minutes}")
        if self.profile is not None and not 1 <= self.profile[0] <= self.profile[1]:
            raise errors.UserError(f"profile must be first and last step from 1, got {self.profile}")


@dataclasses.dataclass(frozen=True)
class Training:
    """What a stage computes.

    Args:
        teacher: frozen towers, or None.
        optimizer: the gradient transformation.
        schedule: step -> learning rate, for the log.
        steps: steps of the whole stage.
        frozen: path prefixes of the learner that are not trained.
        accumulate: number of gradient accumulation parts per batch.
        flops: FLOPs of one step on all devices, for the MFU; None if unknown.
        local: True if batches hold only the rows of this process (`distributed.host_rows`).
    """

    teacher: Any
    optimizer: traced_numbers.Transformation
    schedule: Callable[[int], Any]
    steps: int
    frozen: tuple[str, ...] = ()
    accumulate: int = 1
    flops: float | None = None
    local: bool = False


def run(
    state: step.TrainState,
    batches: Iterator[dict[str, np.ndarray]],
    training: Training,
    settings: Settings,
    checkpoints: checkpoint.Checkpoints,
    log: event_log.EventLog | event_log.Silent,
    *,
    meta: dict[str, Any],
    show: Callable[[Report], None] = lambda _: None,
    watch: Callable[[int, step.TrainState], None] = lambda at, state: None,
    member: co_training.Member | None = None,
) -> step.TrainState:
    """Train the remaining steps of a stage and save the final state.

    Args:
        state: the state to continue from.
        batches: host batches, starting at step `state.step`.
        training: what is computed.
        settings: how it is run and watched.
        checkpoints: where states are saved.
        log: where metrics are written.
        meta: JSON values stored with each checkpoint.
        show: called with a Report for each logged step.
        watch: called after each step with its number and the state's arrays, which it must not keep.
        member: part of this row in a group of rows that train together, or None.

    Returns:
        The state after the last step, which is also on disk.

    Raises:
        Diverged: the loss or its gradient was not finite.
        Interrupted: this or another process received a signal; the state is on disk.
        Lost: another process of this run died.
        UserError: reading data or writing to disk failed.
    """
    teacher, steps, rules = training.teacher, training.steps, settings.rules
    minutes, several = settings.checkpoint_minutes, jax.process_count() > 1
    devices = settings.layout.make()
    compiled = step.compile_step(
        state, training.optimizer, training.frozen, teacher,
        mesh=devices, rules=rules, accumulate=training.accumulate,
    )  # fmt: skip
    measured = objective_gradients.Measured(
        state, training.frozen, teacher, mesh=devices, accumulate=training.accumulate,
        every=settings.gradients_every and settings.gradients_every * settings.log_every,
    )  # fmt: skip
    arrays, static = eqx.partition(state, eqx.is_array)
    arrays = distributed.put(arrays, sharding.of(state, devices, rules))
    taught = functools.partial(
        distributed.put, eqx.filter(teacher, eqx.is_array), sharding.of(teacher, devices, rules)
    )
    teacher_arrays = taught() if member is None else member.group.once("teacher", taught)
    stepped = compiled if member is None else member.stepper(compiled)
    save = checkpoints.save if member is None else functools.partial(member.save, checkpoints)
    done = int(state.step)
    clock, compilations, saved = telemetry.Meter(training.flops), telemetry.Recompiles(), time.monotonic()
    traced = telemetry.Profile(settings.profile, checkpoints.directory.parent / "profile")
    beside = distributed.Beside(devices) if several else None
    news: Any = None
    pending: tuple[int, dict[str, metrics.Mean]] | None = None
    told: dict[str, Any] = {}
    try:
        with stop_signal.StopSignal() as stop:
            for batch in batches:
                clock.got_batch(
                    len(batch["weight"]) * (distributed.host_rows(devices)[1] if training.local else 1)
                )
                traced.at(done + 1)
                place = functools.partial(
                    distributed.place, step.HostBatch(**batch), devices, local=training.local
                )
                given = arrays, place() if member is None else member.group.placed(batch, place)
                apart = measured.at(done + 1, *given, teacher_arrays)  # before the state is donated
                compilations.before()
                arrays, named = stepped(*given, teacher_arrays)
                changed = compilations.after(*given)
                clock.dispatched()
                if changed is not None:
                    log.write(done + 1, "recompile", {"changed": changed})
                due = minutes is not None and time.monotonic() - saved >= 60 * minutes
                came = stop.came or (member is not None and member.group.stopped())
                if beside is not None:
                    # Use the flags of one step ago: all processes decide alike without blocking.
                    known = None if news is None else beside.read(news)
                    news = beside.post([came, due, clock.host_seconds])
                    if done + 1 == steps:
                        known = beside.read(news)
                    came, due = False, False
                    if known is not None:
                        came, due = bool(known[:, 0].any()), bool(known[0, 1]) and pending is not None
                        told = telemetry.late(known[:, 2])
                if pending is not None:  # the device is already running the next step
                    _record(pending, log, training, settings, clock, show, told)
                done += 1
                pending = (done, {**named, **apart})
                log.hold_after(done)
                watch(done, arrays)
                if done == steps or done % settings.checkpoint_every == 0 or came or due:
                    _record(pending, log, training, settings, clock, show, told)
                    pending = None
                    log.flush(sync=True)
                    save(eqx.combine(arrays, static), meta)
                    saved = time.monotonic()
                if came:  # also after the last step, so that the next stage does not start
                    checkpoints.wait()
                    raise Interrupted(
                        f"stopped after step {done} of {steps}; run the same command to continue"
                    )
                clock.start_wait()
        if done == 0:  # a stage of 0 steps: its initial state is the result
            save(eqx.combine(arrays, static), meta)
        checkpoints.wait()
    except jax.errors.JaxRuntimeError as error:
        if not several:
            raise
        reason = " ".join(str(error).split())[:200]
        raise Lost(f"another process of this run died after step {done} ({reason})") from error
    finally:
        traced.close()
    if done != steps:
        raise errors.UserError(f"the loader ended after {done} of {steps} steps; it needs a batch for each")
    last: step.TrainState = eqx.combine(arrays, static)
    return last


def _record(
    pending: tuple[int, dict[str, metrics.Mean]],
    log: event_log.EventLog | event_log.Silent,
    training: Training,
    settings: Settings,
    clock: telemetry.Meter,
    show: Callable[[Report], None],
    told: dict[str, Any],
) -> None:
    """Fetch the metrics of a step, raise Diverged if loss or gradient is not finite, log and show them."""
    at, named = pending
    loss, norm = float(named["loss"].value), float(named["gradient_norm"].value)
    clock.finished()
    # Check the gradient as well: a finite loss with a non-finite gradient already corrupts the state.
    if not math.isfinite(loss + norm):
        values = {name: float(mean.value) for name, mean in named.items()}
        broken = ", ".join(f"{name}={value}" for name, value in values.items() if not math.isfinite(value))
        raise Diverged(
            f"loss or gradient is not finite at step {at} ({broken}); "
            "lower the learning rate or clip the gradient"
        )
    if at % settings.log_every and at != training.steps and at != 1:
        log.hold_after(None)
        return
    fetched = jax.device_get({name: mean.value for name, mean in named.items()})
    values = {name: float(value) for name, value in fetched.items()}
    speed = clock.lap()
    log.write(at, "train", {**values, "learning_rate": float(training.schedule(at - 1)), **speed, **told})
    log.hold_after(None)
    show(Report(at, loss, speed["clips_per_second"], speed["data_wait"]))


def batches_of(items: Iterable[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over loader batches, re-raising the UserError wrapped in a loader exception, if any.

    Loader threads wrap exceptions; the first UserError in the chain of causes is raised.

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
