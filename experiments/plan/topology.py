"""Parse hardware topologies for planning: `v5p:4x4x8`, `v6e:16x16`, `gpu:h100`, `gpu:l40sx8`, `cpu`."""

import dataclasses
import difflib
import math

from prismlab.core import errors
from prismlab.experiments.cost import chips

# Available slice shapes, smallest first.
SLICES = {
    "v5e": ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    "v6e": ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    "v5p": (
        "2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8",
        "8x8x16", "8x16x16", "16x16x16", "16x16x24",
    ),
}  # fmt: skip
GPUS = ("a100", "h100", "h200", "l40s", "rtx4090")
COUNTS = (1, 2, 4, 8)  # GPUs of one host


@dataclasses.dataclass(frozen=True)
class Topology:
    """A hardware topology to plan for.

    Args:
        text: as given by the user.
        chip: type of its chips.
        count: number of chips.
        shape: shape of a TPU slice, for example "4x4x8"; "" otherwise.
    """

    text: str
    chip: chips.Chip
    count: int
    shape: str = ""

    @property
    def compiles(self) -> bool:
        """Whether it supports ahead-of-time compilation without the hardware (TPU slices only)."""
        return bool(self.shape)


def known() -> list[str]:
    """Return every topology that `parse` accepts."""
    tpus = [f"{name}:{shape}" for name, shapes in SLICES.items() for shape in shapes]
    gpus = [_gpu(name, count) for name in GPUS for count in COUNTS]
    return [*tpus, *gpus, "cpu"]


def _gpu(name: str, count: int) -> str:
    return f"gpu:{name}" if count == 1 else f"gpu:{name}x{count}"


def parse(text: str) -> Topology:
    """Parse one topology.

    Raises:
        UserError: the topology is unknown; the message lists the known ones.
    """
    text = text.strip()
    if text == "cpu":
        return Topology(text, chips.CHIPS["cpu"], 1)
    kind, _, shape = text.partition(":")
    if kind in SLICES and shape in SLICES[kind]:
        return Topology(text, chips.CHIPS[kind], math.prod(map(int, shape.split("x"))), shape)
    for name in GPUS:
        for count in COUNTS:
            if text == _gpu(name, count):
                return Topology(text, chips.CHIPS[name], count)
    near = difflib.get_close_matches(text, known(), 3, 0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise errors.UserError(f"--topology {text!r} is unknown; {hint}known topologies: {', '.join(known())}")


def parse_all(text: str) -> list[Topology]:
    """Parse comma-separated topologies; duplicates are dropped.

    Raises:
        UserError: a topology is unknown (all of them are reported), or none is given.
    """
    found, faults = [], []
    for each in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(parse(each))
        except errors.UserError as error:
            faults.append(str(error))
    if faults:
        raise errors.UserError("\n".join(faults))
    if not found:
        raise errors.UserError(f"--topology is empty; known topologies: {', '.join(known())}")
    return list(dict.fromkeys(found))


def sweep(which: Topology) -> list[Topology]:
    """Return every topology with the same type of chip, smallest first (`--chips-sweep`)."""
    if which.shape:
        return [parse(f"{which.chip.name}:{shape}") for shape in SLICES[which.chip.name]]
    if which.text.startswith("gpu:"):
        return [parse(_gpu(which.chip.name, count)) for count in COUNTS]
    return [which]
