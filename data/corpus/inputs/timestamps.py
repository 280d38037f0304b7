"""Parse timestamps: seconds, or hours, minutes and seconds."""

import math
import re
from typing import Any

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")


def seconds(value: Any) -> float | None:
    """Parse a time into seconds; None if empty.

    Args:
        value: a number, or a string such as "12.5", "1:02.5" or "00:01:02,500".

    Raises:
        ValueError: the value is not a time, negative or not finite.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    found: float
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected a time in seconds, got {value!r}")
    match = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        hours, minutes, rest = match.groups()
        found = int(hours or 0) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
    else:
        try:
            found = float(value)
        except ValueError:
            raise ValueError(f"expected a time in seconds, got {value!r}") from None
    if not math.isfinite(found) or found < 0:
        raise ValueError(f"expected a time of 0 seconds or more, got {value!r}")
    return found
