"""Roofline model: lower bound on step time and upper bound on model FLOPs utilization (MFU).

    bound = max(FLOPs / peak, memory bytes / memory rate, bytes sent / link rate)
    MFU bound = model FLOPs / (bound * peak)

Model FLOPs are those of the forward and backward pass without rematerialization. Compute, memory access
and communication are assumed to overlap perfectly.
"""

import dataclasses

from prismlab.experiments.cost import chips


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds per step on one chip for each resource.

    Args:
        compute: for all matrix products, including rematerialization.
        memory: for memory traffic.
        network: for collectives.
        model: for the model FLOPs at peak.
    """

    compute: float
    memory: float
    network: float
    model: float

    @property
    def seconds(self) -> float:
        """Lower bound on the step time."""
        return max(self.compute, self.memory, self.network)

    @property
    def mfu(self) -> float:
        """Upper bound on model FLOPs utilization, in (0, 1]."""
        return self.model / self.seconds if self.seconds else 0.0

    @property
    def limit(self) -> str:
        """The bottleneck: "compute", "memory" or "network"."""
        return max(("compute", "memory", "network"), key=lambda name: getattr(self, name))


def of(
    chip: chips.Chip,
    products: dict[str, float],
    model_products: dict[str, float],
    memory_bytes: float,
    sent: float,
) -> Roofline:
    """Return the roofline of one step on one chip.

    Args:
        chip: the chip.
        products: dtype -> FLOPs on one chip, including rematerialization.
        model_products: the same without rematerialization.
        memory_bytes: bytes read from and written to device memory.
        sent: bytes that a chip sends.
    """
    return Roofline(
        compute=_seconds(chip, products),
        memory=memory_bytes / chip.memory_rate,
        network=sent / chip.link_rate,
        model=_seconds(chip, model_products),
    )


def _seconds(chip: chips.Chip, products: dict[str, float]) -> float:
    rate = lambda dtype: chip.bfloat16 if dtype in ("bfloat16", "float16") else chip.float32
    return sum(operations / rate(dtype) for dtype, operations in products.items())


def fsdp_bytes(parameters: float, shards: int, gathers: int = 2) -> float:
    """Return the bytes that a chip sends per step for fully sharded parameters (FSDP).

    Args:
        parameters: total bytes of the parameters, over all chips.
        shards: number of chips that they are sharded over.
        gathers: all-gathers per step (forward and backward pass).

    Gradients are reduce-scattered once.
    """
    return parameters * (gathers + 1) * (shards - 1) / shards if shards > 1 else 0.0
