"""From operations and bytes to seconds: a step is no faster than its slowest resource.

    bound = max(operations / peak, memory bytes / memory rate, bytes sent / link rate)
    MFU bound = model operations / (bound * peak)

Model operations are those of forward and backward pass without recomputation; recomputation costs time
and earns nothing. Overlap is taken as perfect, so the bound is what no run on this chip can beat.
"""

import dataclasses

from prismlab.experiments.cost import chips


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds that each resource needs for one step on one chip.

    Args:
        compute: of all products, recomputation included.
        memory: of traffic with device memory.
        network: of collectives.
        model: of the products of the model alone, at peak.
    """

    compute: float
    memory: float
    network: float
    model: float

    @property
    def seconds(self) -> float:
        """The bound on a step's time."""
        return max(self.compute, self.memory, self.network)

    @property
    def mfu(self) -> float:
        """The bound on model FLOPs utilisation, in (0, 1]."""
        return self.model / self.seconds if self.seconds else 0.0

    @property
    def limit(self) -> str:
        """The resource that decides: "compute", "memory" or "network"."""
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
        chip: its peaks.
        products: dtype -> operations on one chip, recomputation included.
        model_products: the same without recomputation.
        memory_bytes: bytes between memory and chip.
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
    """Return the bytes that a chip sends a step when parameters are split over chips.

    Args:
        parameters: bytes of what is gathered, on all chips together.
        shards: chips that share them.
        gathers: times they are gathered a step (forward and backward pass).

    Gathering sends what a chip holds to all others; gradients are reduced and scattered once.
    """
    return parameters * (gathers + 1) * (shards - 1) / shards if shards > 1 else 0.0
