"""Examples of localisation for the evaluation page: segments on a line of time, boxes on the keyframe."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from prismlab.experiments.tasks.features import pictures
from prismlab.experiments.tasks.interface import boxes, items, protocols, segments

FRAMES = 4  # of the picture of a keyframe's clip
LONG_FRAMES = 8  # of the picture of a long video
SUREST = 4  # predicted segments of a video
CLASSES = 3  # surest classes of a box
LARGE = 192  # side of a keyframe


def of_times(found: items.ItemSet, how: protocols.Protocol, said: segments.Predicted) -> list[dict[str, Any]]:
    """Return examples of segments, spread over a split, as plain data.

    Args:
        found: videos that can be read.
        how: the protocol of windows; the picture shows frames of the whole video.
        said: predicted segments of the split.

    Returns:
        Of up to `pictures.COUNT` videos: "key", "picture", "lines", and "time": the duration in seconds and
        rows of (name, segments), each (start, end, class, share of the surest score).
    """
    whole = dataclasses.replace(how, stride=None, clips=1, crop="whole")
    made = []
    for row in pictures.spread(len(found)):
        item = found.items[row]
        right = [(each.start, each.end, each.label, 1.0) for each in item.extra.get(segments.SEGMENTS, ())]
        own = said.where(said.row == row)
        surest = np.argsort(-own.score, kind="stable")[:SUREST]
        top = max(float(own.score.max(initial=0.0)), 1e-9)
        mine = [
            (float(own.start[at]), float(own.end[at]), int(own.label[at]), float(own.score[at]) / top)
            for at in surest
        ]
        scores = [f", score {own.score[at]:.2f}" for at in surest]
        made.append({
            "key": item.key,
            "picture": pictures.strip(pictures.frames(found, item, whole, LONG_FRAMES)),
            "lines": [
                ["annotated", _text(right, [""] * len(right), found)], ["says", _text(mine, scores, found)],
            ],
            "time": {
                "seconds": float(item.extra[segments.DURATION]),
                "classes": len(found.classes),
                "rows": [["annotated", right], ["says", mine]],
            },
        })  # fmt: skip
    return made


def _text(spans: Sequence[tuple[float, float, int, float]], ends: Sequence[str], found: items.ItemSet) -> str:
    texts = [
        f"{number}: {found.classes[label]} {start:.1f} to {end:.1f} s{more}"
        for number, ((start, end, label, _), more) in enumerate(zip(spans, ends), 1)
    ]
    return "; ".join(texts) or "nothing"


def of_boxes(
    found: items.ItemSet,
    how: protocols.Protocol,
    given: Sequence[Sequence[boxes.Detection]],
    said: boxes.Scored,
    annotated: bool,
) -> list[dict[str, Any]]:
    """Return examples of boxes, spread over the keyframes with a scored box, as plain data.

    Args:
        found: keyframes whose clips can be read; the keyframe is in the middle of its clip.
        how: the protocol.
        given: scored boxes of each keyframe.
        said: their scores, every class of a box beside the others, in the order of `given`.
        annotated: the scored boxes are the annotated ones, which are drawn once.

    Returns:
        Of up to `pictures.COUNT` keyframes: "key", "picture", "lines", "keyframe" (base64 of a JPEG file),
        and "boxes": (kind, number, box) with the kind "annotated" or "detected".
    """
    made, shown = [], [row for row, each in enumerate(given) if each]
    for place in pictures.spread(len(shown)):
        row = shown[place]
        item = found.items[row]
        right = item.extra.get(boxes.BOXES, ())
        scores = said.score[said.row == row].reshape(len(given[row]), len(found.classes))
        drawn = [["annotated", number, list(box.shares)] for number, box in enumerate(right, 1)]
        if not annotated:
            drawn += [["detected", number, list(one.shares)] for number, one in enumerate(given[row], 1)]
        lines = [
            [f"annotated {number}", ", ".join(found.classes[label] for label in box.labels)]
            for number, box in enumerate(right, 1)
        ]
        for number, values in enumerate(scores, 1):
            surest = np.argsort(-values, kind="stable")[:CLASSES]
            text = ", ".join(f"{found.classes[label]} {values[label]:.2f}" for label in surest)
            lines.append([f"says of {'box' if annotated else 'detection'} {number}", text])
        middle = pictures.frames(found, item, how, 2)[1:]
        made.append({
            "key": item.key,
            "picture": pictures.strip(pictures.frames(found, item, how, FRAMES)),
            "lines": lines,
            "keyframe": pictures.strip(middle, LARGE),
            "boxes": drawn,
        })  # fmt: skip
    return made
