"""What one chip can do, as its maker publishes it."""

import dataclasses
import json
import pathlib

from prismlab.core import errors

GIB = 2**30
# Larger than any price table that a person writes.
PRICE_FILE_BYTES = 65536


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published peaks of one chip.

    Args:
        name: as in `--topology`.
        bfloat16: floating-point operations a second in bfloat16 products, dense.
        float32: the same for float32 products at JAX's default precision (on TPU one bfloat16 pass).
        memory: bytes of device memory.
        memory_rate: bytes a second between that memory and the chip.
        link_rate: bytes a second that a chip can send to its neighbours (half the bidirectional figure).
        dimensions: of the torus its slices are made of; 0 where chips form no torus.
        largest: chips of the largest slice.
        source: where the numbers were published.
    """

    name: str
    bfloat16: float
    float32: float
    memory: float
    memory_rate: float
    link_rate: float
    dimensions: int
    largest: int
    source: str


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v5e", 197e12, 197e12, 16 * GIB, 819e9, 200e9, 2, 256, "cloud.google.com/tpu/docs/v5e"),
        Chip("v5p", 459e12, 459e12, 95 * GIB, 2765e9, 600e9, 3, 6144, "cloud.google.com/tpu/docs/v5p"),
        Chip("v6e", 918e12, 918e12, 32 * GIB, 1638e9, 400e9, 2, 256, "cloud.google.com/tpu/docs/v6e"),
        Chip("h100", 989e12, 495e12, 80e9, 3350e9, 450e9, 0, 8, "NVIDIA H100 SXM data sheet, dense, TF32"),
        # No data sheet speaks of "a CPU".
        Chip("cpu", 150e9, 150e9, 16 * GIB, 20e9, 20e9, 0, 1, "a rough figure for two cores"),
    )
}


def prices(path: pathlib.Path | None) -> dict[str, float]:
    """Return the price of a chip and hour by name.

    Args:
        path: a JSON file like prices.json beside this module, or None for that one.

    Raises:
        UserError: the file cannot be read, or a price is not a number of at least 0.
    """
    source = path or pathlib.Path(__file__).with_name("prices.json")
    try:
        if source.stat().st_size > PRICE_FILE_BYTES:
            raise errors.UserError(f"--prices {source} is larger than {PRICE_FILE_BYTES} bytes")
        found = json.loads(source.read_text())
    except (OSError, ValueError) as error:
        raise errors.UserError(f"--prices {source} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise errors.UserError(f'--prices {source} must hold an object such as {{"v5p": 4.2}}')
    found.pop("note", None)
    unknown = sorted(set(found) - set(CHIPS))
    if unknown:
        raise errors.UserError(
            f"--prices {source}: no chip is called {unknown[0]!r}; there are {sorted(CHIPS)}"
        )
    for name, price in found.items():
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < 1e9:
            raise errors.UserError(
                f"--prices {source}: {name} must be dollars an hour, at least 0; got {price!r}"
            )
    return {name: float(price) for name, price in found.items()}
