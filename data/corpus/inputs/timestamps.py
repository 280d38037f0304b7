"""Parse timestamps: seconds, or hours, minutes and seconds."""

import decimal
import re
from typing import Any

MOST = 1e7  # seconds, 115 days: no recording is longer
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")


def seconds(value: Any) -> float | None:
    """Parse a time into seconds; None if empty.

    Args:
        value: a number, or a string such as "12.5", "1:02.5" or "00:01:02,500".

    Raises:
        ValueError: the value is not a time, negative, not finite or above `MOST`.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    found: float
    if isinstance(value, bool) or not isinstance(value, int | float | str | decimal.Decimal):
        raise ValueError(f"expected a time in seconds, got {_short(value)}")
    match = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        if match:
            hours, minutes, rest = match.groups()
            found = int(hours or 0) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
        else:
            found = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a time in seconds, got {_short(value)}") from None
    if not 0 <= found <= MOST:
        raise ValueError(f"expected a time of 0 seconds or more, and at most {MOST:g}, got {_short(value)}")
    return found


def required(value: Any) -> float:
    """Parse a time that may not be missing; see `seconds`.

    Raises:
        ValueError: the value is empty or not a time.
    """
    found = seconds(value)
    if found is None:
        raise ValueError("expected a time in seconds, got none")
    return found


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # more digits than Python prints
        text = "a number of too many digits"
    return text if len(text) <= 60 else text[:57] + "..."
