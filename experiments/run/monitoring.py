"""Runs the monitors of a stage while it trains, and keeps the last healthy checkpoint after a collapse."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from prismlab.core import errors, types
from prismlab.core.events import event_lines, event_log
from prismlab.core.io import filesystem
from prismlab.core.parallel import distributed
from prismlab.core.parallel import mesh as meshes
from prismlab.core.train import learner
from prismlab.core.train.checkpoints import checkpoint
from prismlab.experiments.recipe import monitor_interface

MEASURED, HEALTHY, COLLAPSED = "monitor", "healthy", "collapse"


class Monitoring:
    """Measures after every N-th step and writes "monitor" events; at the first alarm, one "collapse" event.

    Args:
        monitors: name -> monitor of the stage.
        built: the learner, possibly abstract; only its static parts are used.
        teacher: the teacher towers, or None.
        devices: the mesh.
        cache: directory shared by runs.
        checkpoints: of the stage; the one that an alarm keeps is not deleted.
        log: of the stage.
        say: prints one line.
        history: the event log of an earlier part of this stage, or None.
        at: step at which this part starts; later events of `history` are ignored.

    Raises:
        UserError: a tower that does not exist, or a micro-set that cannot be read or encoded.
    """

    def __init__(
        self,
        monitors: Mapping[str, monitor_interface.Monitor],
        built: learner.Learner,
        teacher: learner.Towers | None,
        devices: Mesh,
        cache: pathlib.Path,
        checkpoints: checkpoint.Checkpoints,
        log: event_log.EventLog | event_log.Silent,
        say: Callable[[str], None],
        history: filesystem.Path | None = None,
        at: int = 0,
    ):
        self._monitors, self._cache = monitors, cache
        self._checkpoints, self._log, self._say = checkpoints, log, say
        self._best: dict[str, float] = {}
        self._collapsed = False
        # Monitors of one tower that read the same array of clips share its encoder pass.
        self._encode: dict[str, Callable[[Any, Any], Any]] = {}
        self._sources: dict[str, tuple[str, int]] = {}  # name -> tower, id of the clips
        self._clips: dict[int, tuple[np.ndarray, Any]] = {}  # id -> the clips on the host, on the devices
        self._teacher: dict[tuple[str, int], np.ndarray] = {}
        for name, monitor in monitors.items():
            if monitor.tower not in built.towers:
                raise errors.UserError(
                    f"monitor {name!r}: no tower is called {monitor.tower!r}, only {sorted(built.towers)}"
                )
            clips = monitor.clips(cache)
            source = self._sources[name] = (monitor.tower, id(clips))
            if id(clips) not in self._clips:
                self._clips[id(clips)] = clips, distributed.put(clips, meshes.whole(devices))
            if monitor.tower not in self._encode:
                self._encode[monitor.tower] = _encoder(built.towers[monitor.tower], devices)
            if teacher is not None and monitor.tower in teacher and source not in self._teacher:
                tower = teacher[monitor.tower]
                arrays = distributed.put(eqx.filter(tower, eqx.is_array), meshes.whole(devices))
                placed = self._clips[id(clips)][1]
                self._teacher[source] = np.asarray(_encoder(tower, devices)(arrays, placed))
        if history is not None and history.is_file():
            self._remember(history, at)

    def _remember(self, history: filesystem.Path, at: int) -> None:
        for event in event_lines.events(history):
            if event["step"] > at:
                break
            if event["kind"] == MEASURED:
                self._raise_best({k: v for k, v in event.items() if k not in event_lines.OWN_FIELDS})
            elif event["kind"] in (HEALTHY, COLLAPSED):
                self._collapsed = event["kind"] == COLLAPSED
                self._checkpoints.protect(event["checkpoint"])

    def _raise_best(self, found: Mapping[str, float]) -> None:
        for name, value in found.items():
            self._best[name] = max(value, self._best.get(name, value))

    def __call__(self, at: int, towers: learner.Towers) -> None:
        """Measure if a monitor is due after this step.

        Args:
            at: steps taken.
            towers: arrays of the towers; read before this returns.
        """
        due = {name: each for name, each in self._monitors.items() if at % each.every == 0}
        if not due:
            return
        found: dict[str, float] = {}
        reasons: list[str] = []
        encoded = {
            (tower, clips): np.asarray(
                self._encode[tower](eqx.filter(towers[tower], eqx.is_array), self._clips[clips][1])
            )
            for tower, clips in dict.fromkeys(self._sources[name] for name in due)
        }
        for name, monitor in due.items():
            source = self._sources[name]
            if not np.isfinite(encoded[source]).all():
                continue  # the loop stops at a loss that is not finite
            values = monitor.measure(encoded[source], self._teacher.get(source), self._cache)
            named = {f"{name}: {what}": value for what, value in values.items()}
            self._raise_best(named)
            best = {what: self._best[f"{name}: {what}"] for what in values}
            reason = monitor.collapsed(values, best)
            reasons += [] if reason is None else [f"{name}: {reason}"]
            found |= named
        self._log.write(at, MEASURED, found)
        if self._collapsed:
            return
        if reasons:
            self._alarm(at, "; ".join(reasons))
        elif found and self._checkpoints.newest is not None:
            self._checkpoints.protect(self._checkpoints.newest)
            self._log.write(at, HEALTHY, {"checkpoint": self._checkpoints.newest})

    def _alarm(self, at: int, reason: str) -> None:
        self._collapsed = True
        kept = self._checkpoints.protected
        what = (
            "there is no checkpoint before it" if kept is None else f"the checkpoint of step {kept} is kept"
        )
        self._log.write(at, COLLAPSED, {"reason": reason, "checkpoint": kept})
        self._say(f"features collapsed by step {at} ({reason}); {what}; training continues")


def _encoder(tower: types.Tower, devices: Mesh) -> Callable[[Any, Any], Any]:
    """Return (arrays, clips) -> mean over the tokens of each clip, float32 [n, d], equal on all devices."""
    static = eqx.filter(tower, eqx.is_array, inverse=True)

    def encode(arrays: Any, clips: Any) -> Any:
        with meshes.within(devices):
            found = eqx.combine(arrays, static)(clips.astype(jnp.float32) / 255.0)
        return found.tokens.x.astype(jnp.float32).mean(axis=1)

    return jax.jit(encode, out_shardings=meshes.whole(devices))
