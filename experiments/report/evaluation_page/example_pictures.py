"""Examples beside a score, as the evaluation page shows them: frames, boxes on a keyframe, lines of time."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from prismlab.experiments import html_page

Span = Sequence[Any]  # start, end, class and strength of a segment, as JSON keeps them


@dataclasses.dataclass(frozen=True)
class Bar:
    """A segment on a line of time.

    Args:
        start, width: in percent of the line.
        number: what the lines of text call it.
        hue: degrees of the colour circle, the same for all segments of a class.
        strength: opacity.
        lane: 0, or more for a segment that overlaps others of its line.
    """

    start: float
    width: float
    number: int
    hue: int
    strength: float
    lane: int


@dataclasses.dataclass(frozen=True)
class Frame:
    """A box on a keyframe.

    Args:
        kind: "annotated" or "detected".
        number: what the lines of text call it.
        x, y, width, height: in percent of the picture.
    """

    kind: str
    number: int
    x: float
    y: float
    width: float
    height: float


@dataclasses.dataclass(frozen=True)
class Example:
    """One clip of a score.

    Args:
        key: its name.
        picture: data URL of frames beside each other.
        lines: (name, text) of what is written beside it.
        keyframe: data URL, or "".
        boxes: boxes on the keyframe.
        seconds: length of the lines of time; 0 without any.
        times: (name, number of lanes, segments) of each line.
    """

    key: str
    picture: str
    lines: tuple[tuple[str, str], ...]
    keyframe: str
    boxes: tuple[Frame, ...]
    seconds: float
    times: tuple[tuple[str, int, tuple[Bar, ...]], ...]


def of(found: Mapping[str, Any]) -> Example:
    """Return an example from the plain data that a task keeps with its score."""
    time = found.get("time", {"seconds": 0.0, "classes": 1, "rows": []})
    times = []
    for name, spans in time["rows"]:
        lanes = _lanes(spans)
        bars = tuple(
            _bar(number, each, lane, time) for number, (each, lane) in enumerate(zip(spans, lanes), 1)
        )
        times.append((name, max(lanes, default=0) + 1, bars))
    boxes = tuple(
        Frame(kind, number, *(round(100 * each, 2) for each in (x1, y1, x2 - x1, y2 - y1)))
        for kind, number, (x1, y1, x2, y2) in found.get("boxes", ())
    )
    keyframe = _picture(found["keyframe"]) if found.get("keyframe") else ""
    lines = tuple((name, text) for name, text in found["lines"])
    return Example(
        found["key"], _picture(found["picture"]), lines, keyframe, boxes, float(time["seconds"]),
        tuple(times),
    )  # fmt: skip


def _picture(text: str) -> str:
    return html_page.picture(base64.b64decode(text), "image/jpeg")


def _lanes(spans: Sequence[Span]) -> list[int]:
    """Return the first lane of each segment in which it overlaps no segment before it in the list."""
    found: list[int] = []
    for start, end, *_ in spans:
        taken = {lane for lane, other in zip(found, spans) if other[0] < end and start < other[1]}
        found.append(next(lane for lane in range(len(spans)) if lane not in taken))
    return found


def _bar(number: int, span: Span, lane: int, time: Mapping[str, Any]) -> Bar:
    start, end, label, strength = span
    scale = 100 / max(float(time["seconds"]), 1e-9)
    return Bar(
        round(scale * start, 2), round(scale * (end - start), 2), number,
        round(360 * label / max(1, time["classes"])) % 360, round(max(0.2, strength), 2), lane,
    )  # fmt: skip
