"""FFmpeg's rational numbers (time bases, rates, pixel aspects) as exact fractions, for each version of PyAV.

PyAV up to 18 returns `Fraction`, or None for an unset value. PyAV 19 returns a type of its own, whose
arithmetic rounds to 32 bits, and 0 or a zero denominator for an unset value.
"""

from fractions import Fraction
from typing import Protocol, runtime_checkable


@runtime_checkable
class Rational(Protocol):
    """A number with a numerator and a denominator."""

    @property
    def numerator(self) -> int:
        """Integer above the line."""
        ...

    @property
    def denominator(self) -> int:
        """Integer below the line; 0 if the value is unset."""
        ...


def exact(value: Rational | None) -> Fraction | None:
    """Return a rational number of PyAV as a fraction; None if it is unset (None, 0 or a zero denominator)."""
    if value is None or not value.numerator or not value.denominator:
        return None
    return Fraction(value.numerator, value.denominator)
