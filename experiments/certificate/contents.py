"""What a certificate holds: subjects, inputs, environment, digests of steps, attempts and cost.

`statement.py` writes and reads it as a file.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from prismlab.core.io import checked_json
from prismlab.experiments.certificate import environment as environment_module

MOST_STEPS = 512  # digests of steps in a certificate


@dataclasses.dataclass(frozen=True)
class Binding:
    """One value of the resolved recipe.

    Args:
        name: bound parameter or macro.
        value: as gin text, in shareable form.
        origin: file:line, "command line" or "default".
    """

    name: str
    value: str
    origin: str


@dataclasses.dataclass(frozen=True)
class StepDigest:
    """What one step read and computed.

    Args:
        step: number of the step, from 1.
        batch: crc32 of the rows of the first host, 8 hex digits; None if it was not recorded.
        rows: number of these rows.
        loss: loss of the step.
        gradient_norm: norm of its gradient.
        parameters: 16 hex digits of the checksums of all parameters after it; None between checkpoints.
    """

    step: int
    batch: str | None = None
    rows: int | None = None
    loss: checked_json.AnyFloat | None = None
    gradient_norm: checked_json.AnyFloat | None = None
    parameters: str | None = None


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One process that trained a stage or computed a score, also if it failed.

    Args:
        start: steps that were done when it began.
        end: steps that were done when it ended, as far as the log says.
        seconds: wall time.
        devices: number of devices.
        outcome: "done", "interrupted", "diverged", "failed", "killed" or "running".
        began: seconds since 1970.
    """

    start: int
    end: int
    seconds: float
    devices: int
    outcome: str
    began: float

    @property
    def device_seconds(self) -> float:
        """Seconds times devices."""
        return self.seconds * self.devices


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a result took.

    Args:
        clips: clips seen in training, repeats included.
        step_flops: model FLOPs of a step; None if they were not counted.
        flops: model FLOPs of all steps.
        device_seconds: of all attempts, also failed ones.
        failed_device_seconds: of the attempts whose steps were repeated or lost.
    """

    clips: int = 0
    step_flops: float | None = None
    flops: float | None = None
    device_seconds: float = 0.0
    failed_device_seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What a stage, a score or a table was made of.

    Args:
        kind: "stage", "score" or "table".
        name: name of the stage, evaluation or ablation.
        subjects: path relative to the certificate's folder -> sha256.
        address: 16 hex digits, "" for a table.
        inputs: what the address is the hash of (`stages.Planned.inputs`), in shareable form.
        recipe: sha256 of the flat gin text, "" if the result was not started from gin.
        bindings: values of the recipe; of a stage only.
        environment: where it was computed.
        source: state of the checkout.
        parents: name -> address or digest of the results that it was made of.
        steps: digests of steps, of a stage only.
        every: steps between two of them.
        attempts: of a stage or score.
        cost: what it took.
        notes: further facts, such as the number of parameters.
    """

    kind: str
    name: str
    subjects: Mapping[str, str]
    address: str
    inputs: Mapping[str, Any]
    environment: environment_module.Environment
    source: environment_module.Source
    recipe: str = ""
    bindings: tuple[Binding, ...] = ()
    parents: Mapping[str, str] = dataclasses.field(default_factory=dict)
    steps: tuple[StepDigest, ...] = ()
    every: int = 1
    attempts: tuple[Attempt, ...] = ()
    cost: Cost = dataclasses.field(default_factory=Cost)
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def code(self) -> dict[str, str]:
        """Module -> hash of its syntax."""
        return _texts(self.inputs.get("code"))

    @property
    def data(self) -> dict[str, str]:
        """Path in the configuration -> digest of the content."""
        return _texts(self.inputs.get("data"))


def _texts(value: Any) -> dict[str, str]:
    return {name: str(each) for name, each in value.items()} if isinstance(value, dict) else {}


def thinned(steps: Sequence[StepDigest], every: int) -> tuple[tuple[StepDigest, ...], int]:
    """Return at most `MOST_STEPS` digests with their interval: the first, the last, and every k-th step.

    Args:
        steps: by step.
        every: steps between two of them.
    """
    while len(steps) > MOST_STEPS:
        every *= 2
        last = steps[-1].step
        steps = [each for each in steps if each.step % every == 0 or each.step in (1, last)]
    return tuple(steps), every
