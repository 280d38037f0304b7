"""Rows that train together: the steps of several stages as one program, on one batch and one teacher pass.

Each row is trained by `loop.run` in a thread of its own, which logs, saves and diverges as if it were alone;
only its step waits here for the others. The rows are unrolled in the program, not stacked: on CPU this gives
the bits of single runs. The first steps are compared with single ones, and where a bit differs the rows
continue with their own programs, as they do when one of them leaves.
"""

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from prismlab.core import keys, trees
from prismlab.core.parallel import mesh as meshes
from prismlab.core.train import traced_numbers
from prismlab.core.train.checkpoints import checkpoint, checksums
from prismlab.core.train.steps import step

CHECKED = 2  # steps that are compared with those of single runs
PROGRAMS = 2  # compiled groups that a process keeps

Step = Callable[[Any, step.HostBatch, Any], tuple[Any, dict[str, Any]]]


class Apart(Exception):
    """The rows cannot train together; they can one after another."""


class Group:
    """Meeting point of the rows.

    Args (constructor):
        size: number of rows.
        checked: how many first steps are compared with those of single runs; 0 if it is known that they are
            equal.
        came: whether a signal asked the run to stop.
    """

    def __init__(self, size: int, checked: int = CHECKED, came: Callable[[], bool] = lambda: False):
        self.size = size
        self.equal: bool | None = None  # whether the compared steps had the bits of single runs
        self.together = True  # whether the rows still run as one program
        self._checked, self._came = checked, came
        self._active = set(range(size))
        self._given: dict[int, tuple[step.Compiled, Any, Any, Any]] = {}
        self._results: dict[int, Any] = {}
        self._alone: dict[int, Any] | None = None  # states of the single runs of the first steps
        self._stopped = False
        self._meeting = threading.Condition()
        self.files = threading.Lock()  # Orbax writes one checkpoint of a process at a time
        self._made: dict[str, Any] = {}
        self._placed: tuple[Any, Any] = (None, None)

    def member(self, index: int) -> "Member":
        """Return the part of one row, from 0."""
        return Member(self, index)

    def leave(self, index: int) -> None:
        """Take a row out; the others continue with programs of their own."""
        with self._meeting:
            self._active.discard(index)
            self.together = False
            self._meeting.notify_all()

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what the first row made under a name."""
        with self._meeting:
            if name not in self._made:
                self._made[name] = make()
            return self._made[name]

    def placed(self, batch: Any, place: Callable[[], Any]) -> Any:
        """Return the device arrays of a host batch, which rows read at the same step."""
        with self._meeting:
            if self._placed[0] is not batch:
                self._placed = batch, place()
            return self._placed[1]

    def stopped(self) -> bool:
        """Return whether the run should stop; the same for all rows after the same step."""
        return self._stopped if self.together else self._stopped or self._came()

    def take(self, index: int, single: step.Compiled, *given: Any) -> Any:
        """Take a step of one row, with the others as long as all are here."""
        with self._meeting:
            if self.together:
                self._given[index] = (single, *given)
                if self._given.keys() >= self._active:
                    self._meet()
                while index not in self._results and self.together:
                    self._meeting.wait()
            result = self._results.pop(index, None)
            self._given.pop(index, None)
        if isinstance(result, BaseException):
            raise Apart(str(result)) from result
        return single(*given) if result is None else result

    def _meet(self) -> None:
        """Run the step of all rows that wait."""
        order = sorted(self._given)
        singles = [self._given[index][0] for index in order]
        arrays = [self._given[index][1] for index in order]
        _, _, batch, teacher = self._given[order[0]]
        given, self._given = self._given, {}
        compared = self._checked > 0
        if compared:
            alone = self._alone or {
                index: jax.tree.map(jnp.copy, state) for index, state in zip(order, arrays, strict=True)
            }
        try:
            found = dict(zip(order, _stepped(singles, arrays, batch, teacher), strict=True))
        except Exception as error:  # a row that waits must hear of it
            self._results |= dict.fromkeys(order, error)
            self.together = False
            self._meeting.notify_all()
            return
        if compared:
            own = {index: given[index][0](alone[index], *given[index][2:]) for index in order}
            self.equal = all(_bits(found[index][0]) == _bits(own[index][0]) for index in order)
            self._checked -= 1
            # The states of the single runs are needed for the next comparison, or in place of the others.
            self._alone = {index: each[0] for index, each in own.items()} if self._checked else None
            if not self.equal:
                found, self.together, self._alone = own, False, None
        self._stopped = self._came()
        self._results |= found
        self._meeting.notify_all()


class Member:
    """Part of one row in a group, which `loop.run` uses.

    Args (constructor):
        group: the group.
        index: of the row, from 0.
    """

    def __init__(self, group: Group, index: int):
        self.group, self.index = group, index

    def stepper(self, single: step.Compiled) -> Step:
        """Return the step of this row, given its own program."""
        return functools.partial(self.group.take, self.index, single)

    def save(self, checkpoints: checkpoint.Checkpoints, state: step.TrainState, meta: dict[str, Any]) -> None:
        """Save the state of this row to its end; see `checkpoint.Checkpoints.save`."""
        with self.group.files:
            checkpoints.save(state, meta)
            checkpoints.wait()


def _bits(arrays: Any) -> dict[str, int]:
    """Return the checksums of a state without its PRNG key."""
    return checksums.of(trees.flatten({"learner": arrays.learner, "opt_state": arrays.opt_state}))


def _stepped(singles: Sequence[step.Compiled], arrays: list[Any], batch: Any, teacher: Any) -> list[Any]:
    stepped: list[Any] = _of(singles)(arrays, batch, teacher, [single.placed() for single in singles])
    return stepped


def lower(singles: Sequence[step.Compiled], arrays: Sequence[Any], batch: Any, teacher: Any) -> Any:
    """Lower the step of several rows; see `step.Compiled.lower`.

    Args:
        singles: the steps of the rows.
        arrays: a state for each; this and the others may be shape structs.
        batch: of all rows.
        teacher: arrays of the teacher of all rows.
    """
    return _of(singles).lower(list(arrays), batch, teacher, [single.values for single in singles])


def _of(singles: Sequence[step.Compiled]) -> Any:
    """Return the jitted steps of several rows; equal parts share it and what it compiled."""
    parts = tuple(single.parts for single in singles)
    try:
        return _program(parts)
    except TypeError:  # a part that cannot be hashed
        return _program.__wrapped__(parts)


@functools.lru_cache(maxsize=PROGRAMS)
def _program(parts: tuple[traced_numbers.Static, ...]) -> Any:
    """Return the jitted steps of several rows, unrolled."""
    rows = [each.tree for each in parts]
    _, teacher_static, _, _, _, mesh, stay = rows[0]

    def steps(arrays: list[Any], batch: step.HostBatch, teacher_arrays: Any, given: list[Any]) -> list[Any]:
        states = [eqx.combine(own, row[0]) for own, row in zip(arrays, rows, strict=True)]
        teacher = eqx.combine(teacher_arrays, teacher_static)
        found = []
        with meshes.within(mesh):
            taught = _taught(states, batch, teacher)
            for state, row, (values, weights) in zip(states, rows, given, strict=True):
                optimizer = eqx.combine(values, row[2])
                after, named = step.train_step(
                    state, batch, teacher, optimizer, row[3], row[4], weights, taught
                )
                found.append((eqx.filter(after, eqx.is_array), named))
        return found

    if stay is None:
        return jax.jit(steps, donate_argnums=0)
    return jax.jit(steps, donate_argnums=0, out_shardings=[row[6] for row in rows])


def _taught(states: Sequence[step.TrainState], batch: step.HostBatch, teacher: Any) -> Mapping[Any, Any]:
    """Return the teacher's encodings of intact clips, which are the same for all rows."""
    if teacher is None:
        return {}
    scaled, found = step.to_device_units(batch), {}
    for state in states:
        for view in state.learner.views():
            if view.teacher and view.mask is None and view not in found:
                key = keys.fold(state.key, "step", state.step)
                found[view] = state.learner.encode(view, scaled, teacher, key=key)
    return found
