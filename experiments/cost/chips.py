"""Published peak FLOPs, memory size and bandwidth of accelerators, and prices of some."""

import dataclasses
import json
import pathlib

from prismlab.core import errors
from prismlab.core.events import telemetry

GIB = 2**30
# Upper limit on the size of a price file.
PRICE_FILE_BYTES = 65536


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published peaks of one chip.

    Args:
        name: as in `--topology`.
        bfloat16: peak FLOPs per second of dense bfloat16 matrix products.
        float32: the same for float32 at JAX's default precision (one bfloat16 pass on TPU).
        memory: device memory, in bytes.
        memory_rate: memory bandwidth, in bytes per second.
        link_rate: interconnect bandwidth for sending, in bytes per second (half the bidirectional figure).
        dimensions: dimensions of the torus of a slice; 0 if chips do not form a torus.
        largest: number of chips of the largest slice.
        source: where the numbers are published.
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

    @property
    def platform(self) -> str:
        """Name of its platform in JAX: "tpu", "cuda" or "cpu"."""
        return "cpu" if self.name == "cpu" else "tpu" if self.dimensions else "cuda"


# Peaks of bfloat16 come from the table that telemetry uses for the MFU.
_peak = telemetry.PEAKS.__getitem__
_LARGEST = 8  # GPUs of one host


def _tpu(name: str, kind: str, gib: int, rate: float, link: float, dimensions: int, largest: int) -> Chip:
    source = f"cloud.google.com/tpu/docs/{name}"
    return Chip(name, _peak(kind), _peak(kind), gib * GIB, rate, link, dimensions, largest, source)


def _gpu(name: str, kind: str, tf32: float, gigabytes: int, rate: float, link: float, source: str) -> Chip:
    source = f"{source}; dense, float32 as TF32"
    return Chip(name, _peak(kind), tf32, gigabytes * 1e9, rate, link, 0, _LARGEST, source)


# A link sends half of what the data sheet states for both directions; PCIe 4.0 x16 is 64 GB/s in both.
CHIPS = {
    chip.name: chip
    for chip in (
        _tpu("v5e", "TPU v5 lite", 16, 819e9, 200e9, 2, 256),
        _tpu("v5p", "TPU v5", 95, 2765e9, 600e9, 3, 6144),
        _tpu("v6e", "TPU v6 lite", 32, 1638e9, 400e9, 2, 256),
        _gpu("a100", "NVIDIA A100-SXM4-80GB", 156e12, 80, 2039e9, 300e9, "NVIDIA A100 80GB SXM data sheet"),
        _gpu("h100", "NVIDIA H100 80GB HBM3", 495e12, 80, 3350e9, 450e9, "NVIDIA H100 SXM data sheet"),
        _gpu("h200", "NVIDIA H200", 495e12, 141, 4800e9, 450e9, "NVIDIA H200 SXM data sheet"),
        _gpu("l40s", "NVIDIA L40S", 183e12, 48, 864e9, 32e9, "NVIDIA L40S data sheet, PCIe 4.0"),
        _gpu(
            "rtx4090",
            "NVIDIA GeForce RTX 4090",
            82.6e12,
            24,
            1008e9,
            32e9,
            "NVIDIA Ada GPU architecture, appendix A, PCIe 4.0",
        ),
        # Not from a data sheet.
        Chip("cpu", 150e9, 150e9, 16 * GIB, 20e9, 20e9, 0, 1, "a rough figure for two cores"),
    )
}


def prices(path: pathlib.Path | None) -> dict[str, float]:
    """Return chip name -> dollars per chip hour.

    Args:
        path: a JSON file in the format of prices.json in this folder; None uses that file.

    Raises:
        UserError: the file cannot be read, a chip is unknown, or a price is not a number of at least 0.
    """
    source = path or pathlib.Path(__file__).with_name("prices.json")
    try:
        if source.stat().st_size > PRICE_FILE_BYTES:
            raise errors.UserError(f"--prices {source} is larger than {PRICE_FILE_BYTES} bytes")
        found = json.loads(source.read_text(encoding="utf-8"))
    except errors.UserError:
        raise
    except (OSError, ValueError) as error:
        raise errors.UserError(f"--prices {source} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise errors.UserError(f'--prices {source} must contain a JSON object such as {{"v5p": 4.2}}')
    found.pop("note", None)
    unknown = sorted(set(found) - set(CHIPS))
    if unknown:
        raise errors.UserError(
            f"--prices {source}: unknown chip {unknown[0]!r}; known chips: {sorted(CHIPS)}"
        )
    for name, price in found.items():
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < 1e9:
            raise errors.UserError(
                f"--prices {source}: {name} must be dollars per chip hour, at least 0; got {price!r}"
            )
    return {name: float(price) for name, price in found.items()}
