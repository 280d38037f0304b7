"""What a unit of work needs of the machine that runs it; scheduling engines reserve it."""

import dataclasses
from collections.abc import Mapping

from prismlab.core import errors


@dataclasses.dataclass(frozen=True)
class Resources:
    """Cores, memory and chips to reserve for a stage or an evaluation; without effect on its result.

    What is not stated (0) is the share of the machine that a worker offers, or the default of the cluster.

    Args:
        cores: CPU cores.
        memory_gigabytes: main memory in GiB.
        chips: GPUs or TPU chips.
    """

    cores: int = 0
    memory_gigabytes: float = 0.0
    chips: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise errors.UserError(f"resources.Resources.{field.name} must be at least 0, got {value}")

    def stated(self) -> dict[str, float]:
        """Return the resources that are stated: name -> amount."""
        return {name: amount for name, amount in dataclasses.asdict(self).items() if amount}


def text(amounts: Mapping[str, float]) -> str:
    """Return amounts in words: "4 cores, 16 GiB memory, 1 chip"; "nothing" for none."""
    words = {"cores": "core", "memory_gigabytes": "GiB memory", "chips": "chip"}
    told = [
        f"{amounts[name]:g} {word}{'s' * (name != 'memory_gigabytes' and amounts[name] != 1)}"
        for name, word in words.items()
        if name in amounts
    ]
    return ", ".join(told) or "nothing"
