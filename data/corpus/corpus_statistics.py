"""Corpus statistics: counts, sums and histograms that are additive over shards.

Histograms of clip duration and caption length use the bins of the paper's figure 5. Of the paper's table 8
only the values from one pass over pixels and words are computed (no part-of-speech tags, people or
optical flow).
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from prismlab.core.io import urls
from prismlab.data.corpus import clip_encoding
from prismlab.data.corpus.inputs import media

# Bin edges; the last bin is open.
EDGES: Mapping[str, tuple[float, ...]] = {
    "seconds": (3, 5, 10, 20),
    "words": (10, 20, 30),
    "short_side": (144, 240, 360, 480, 720, 1080),
}
COUNTS = ("clips", "images", "rejected", "frames", "video_bytes", "variable_rate", "still")
SUMS = ("seconds", "words")


def empty() -> dict[str, Any]:
    """Return the statistics of an empty corpus."""
    return {
        **dict.fromkeys((*COUNTS, *SUMS), 0),
        "histograms": {name: [0] * (len(edges) + 1) for name, edges in EDGES.items()},
        "passed_over": {},
    }


def add(total: dict[str, Any], made: clip_encoding.Made) -> None:
    """Add one clip to the statistics, in place."""
    words = len(made.record.caption.split())
    image = made.record.kind == "image"
    values = {"seconds": made.seconds, "words": words, "short_side": made.short_side}
    total["clips"] += 1
    total["images"] += image
    total["frames"] += made.frames
    total["video_bytes"] += len(made.record.video)
    total["variable_rate"] += made.variable
    total["still"] += made.still
    total["words"] += words
    # Rounded to milliseconds, so that the sum does not depend on the order.
    total["seconds"] = round(total["seconds"] + round(made.seconds, 3), 3)
    for name, value in values.items():
        if name != "seconds" or not image:
            total["histograms"][name][_interval(value, EDGES[name])] += 1


def pass_over(total: dict[str, Any], item: media.PassedOver) -> None:
    """Count a file that no clip is made of, in place; the first of each kind is the example."""
    known = total["passed_over"].setdefault(item.why, {"files": 0, "example": urls.readable(item.name)})
    known["files"] += 1


def merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sum of the statistics of several shards."""
    total = empty()
    for part in parts:
        for name in (*COUNTS, "words"):
            total[name] += part[name]
        total["seconds"] = round(total["seconds"] + part["seconds"], 3)
        for name, counts in part["histograms"].items():
            total["histograms"][name] = [a + b for a, b in zip(total["histograms"][name], counts)]
        for why, found in part["passed_over"].items():
            known = total["passed_over"].setdefault(why, {"files": 0, "example": found["example"]})
            known["files"] += found["files"]
    return total


def lines(passed_over: Mapping[str, Any]) -> list[str]:
    """Return what was passed over, most first: "12 .bmp files (such as a/b.bmp)"."""
    ranked = sorted(passed_over.items(), key=lambda item: (-item[1]["files"], item[0]))
    return [f"{found['files']} {why} (such as {found['example']})" for why, found in ranked]


def intervals(name: str) -> list[str]:
    """Return the labels of a histogram's bins: "below 3", "3 to 5", ..., "20 and more"."""
    edges = [f"{edge:g}" for edge in EDGES[name]]
    between = [f"{a} to {b}" for a, b in itertools.pairwise(edges)]
    return [f"below {edges[0]}", *between, f"{edges[-1]} and more"]


def _interval(value: float, edges: tuple[float, ...]) -> int:
    return sum(value >= edge for edge in edges)
