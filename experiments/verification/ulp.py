"""Distance of two arrays in units in the last place: how many representable numbers lie between them."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Distance:
    """How two arrays of one shape and type differ.

    Args:
        changed: number of elements with other bits.
        size: number of elements.
        ulp: largest distance in units in the last place; None if a changed element is not a finite float.
    """

    changed: int
    size: int
    ulp: int | None

    def __str__(self) -> str:
        far = "not finite or no floats" if self.ulp is None else f"at most {self.ulp} ulp"
        return f"{self.changed} of {self.size} numbers, {far}"


def distance(a: np.ndarray, b: np.ndarray) -> Distance | None:
    """Return how two arrays differ, or None if their bits are equal.

    Args:
        a, b: arrays of one shape and type.
    """
    bits = np.dtype(f"u{a.dtype.itemsize}") if a.dtype.itemsize in (1, 2, 4, 8) else np.dtype("u1")
    one, two = (np.ascontiguousarray(each).reshape(-1).view(bits) for each in (a, b))
    changed = one != two
    count = int(np.count_nonzero(changed))
    if not count:
        return None
    if not _is_float(a.dtype):
        return Distance(count, a.size, None)
    values = [np.ascontiguousarray(each).reshape(-1)[changed].astype(np.float64) for each in (a, b)]
    if not all(np.isfinite(each).all() for each in values):
        return Distance(count, a.size, None)
    one, two = (_ordered(each[changed], bits) for each in (one, two))
    return Distance(count, a.size, max(abs(int(x) - int(y)) for x, y in _extremes(one, two)))


def _is_float(dtype: np.dtype) -> bool:
    return dtype.kind == "f" or dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def _ordered(bits: np.ndarray, unsigned: np.dtype) -> np.ndarray:
    """Return integers in the order of the floats: sign and magnitude become a signed number."""
    sign = np.uint64(1) << np.uint64(8 * unsigned.itemsize - 1)
    wide = bits.astype(np.uint64)
    magnitude = (wide & (sign - np.uint64(1))).astype(np.int64)
    return np.where(wide & sign, -magnitude, magnitude)


def _extremes(one: np.ndarray, two: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs that may be farthest apart; differences of int64 could overflow."""
    apart = np.abs(one.astype(np.float64) - two.astype(np.float64))
    return [(one[index], two[index]) for index in np.flatnonzero(apart >= apart.max() * (1 - 1e-9))[:100]]
