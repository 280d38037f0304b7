"""Corpus statistics: counts, sums and histograms that are additive over shards.

Histograms of clip duration and caption length use the bins of the paper's figure 5. Of the paper's table 8
only the values from one pass over pixels and words are computed (no part-of-speech tags, people or
optical flow).
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import file_names
from prismlab.data.corpus import clip_encoding
from prismlab.data.corpus.inputs import media

# Bin edges; the last bin is open.
EDGES: Mapping[str, tuple[float, ...]] = {
    "seconds": (3, 5, 10, 20),
    "words": (10, 20, 30),
    "short_side": (144, 240, 360, 480, 720, 1080),
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of what is passed over.

    Args:
        files: how many.
        example: the name of the first.
    """

    files: int
    example: str


def _empty() -> dict[str, tuple[int, ...]]:
    return {name: (0,) * (len(edges) + 1) for name, edges in EDGES.items()}


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of clips; the defaults are those of none.

    Args:
        clips: number of clips written.
        images: how many of them are images.
        rejected: number of clips with a fault.
        frames: frames of all clips.
        video_bytes: bytes of all encoded clips.
        variable_rate: clips of variable frame rate.
        still: clips without movement.
        words: words of all captions.
        seconds: duration of all clips.
        histograms: name in EDGES -> clips in each bin.
        passed_over: kind -> how many files no clip is made of.
    """

    clips: int = 0
    images: int = 0
    rejected: int = 0
    frames: int = 0
    video_bytes: int = 0
    variable_rate: int = 0
    still: int = 0
    words: int = 0
    seconds: float = 0.0
    histograms: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=_empty)
    passed_over: Mapping[str, Kind] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values together; they may come from a damaged file."""
        sizes = {name: len(counts) for name, counts in self.histograms.items()}
        if sizes != {name: len(edges) + 1 for name, edges in EDGES.items()}:
            raise errors.UserError(f"expected the histograms {', '.join(EDGES)}, got others")
        counts = [getattr(self, name) for name in _SUMS]
        if min(counts) < 0 or min(map(min, self.histograms.values())) < 0:
            raise errors.UserError("expected counts of 0 or more, got a negative one")

    def plain(self) -> dict[str, Any]:
        """Return the statistics as JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


_SUMS = tuple(
    field.name for field in dataclasses.fields(Statistics) if field.name not in ("histograms", "passed_over")
)


def of(made: clip_encoding.Made) -> Statistics:
    """Return the statistics of one clip."""
    words = len((made.record.caption or "").split())
    image = made.record.kind == "image"
    values = {"seconds": made.seconds, "words": words, "short_side": made.short_side}
    return Statistics(
        clips=1,
        images=int(image),
        frames=made.frames,
        video_bytes=len(made.record.video),
        variable_rate=int(made.variable),
        still=int(made.still),
        words=words,
        seconds=round(made.seconds, 3),
        histograms={
            name: tuple(int(place == _bin(values[name], edges)) for place in range(len(edges) + 1))
            if name != "seconds" or not image
            else (0,) * (len(edges) + 1)
            for name, edges in EDGES.items()
        },
    )


def of_passed_over(items: Iterable[media.PassedOver]) -> Statistics:
    """Return the statistics of files that no clip is made of; the first of each kind is the example."""
    found: dict[str, Kind] = {}
    for item in items:
        known = found.get(item.why, Kind(0, file_names.readable(item.name)))
        found[item.why] = Kind(known.files + 1, known.example)
    return Statistics(passed_over=found)


def merged(parts: Iterable[Statistics]) -> Statistics:
    """Return the sum of several statistics."""
    sums: dict[str, Any] = dict.fromkeys(_SUMS, 0)
    histograms, passed_over = _empty(), dict[str, Kind]()
    for part in parts:
        for name in _SUMS:
            # Seconds are rounded to milliseconds, so that the sum does not depend on the order.
            sums[name] = round(sums[name] + getattr(part, name), 3)
        for name, counts in part.histograms.items():
            histograms[name] = tuple(a + b for a, b in zip(histograms[name], counts))
        for why, found in part.passed_over.items():
            known = passed_over.get(why, Kind(0, found.example))
            passed_over[why] = Kind(known.files + found.files, known.example)
    return Statistics(**sums, histograms=histograms, passed_over=passed_over)


def lines(passed_over: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what was passed over, most first: "12 .bmp files (such as a/b.bmp)".

    Args:
        passed_over: as in `Statistics.plain`.
    """
    ranked = sorted(passed_over.items(), key=lambda item: (-item[1]["files"], item[0]))
    return [f"{found['files']} {why} (such as {found['example']})" for why, found in ranked]


def intervals(name: str) -> list[str]:
    """Return the labels of a histogram's bins: "below 3", "3 to 5", ..., "20 and more"."""
    edges = [f"{edge:g}" for edge in EDGES[name]]
    between = [f"{a} to {b}" for a, b in itertools.pairwise(edges)]
    return [f"below {edges[0]}", *between, f"{edges[-1]} and more"]


def _bin(value: float, edges: tuple[float, ...]) -> int:
    return sum(value >= edge for edge in edges)
