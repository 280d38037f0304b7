"""Examples of generated texts beside frames of their clips, for the evaluation page."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from prismlab.experiments.tasks.features import views
from prismlab.experiments.tasks.interface import items, protocols

COUNT = 8  # clips shown
FRAMES, SIDE = 4, 96  # of a picture; larger frames are shrunk, smaller ones enlarged without smoothing
GAP = 3  # white pixels between frames


def of(
    found: items.ItemSet,
    how: protocols.Protocol,
    lines: Sequence[tuple[int, Sequence[tuple[str, str]]]],
) -> list[dict[str, Any]]:
    """Return examples spread over a split as plain data.

    Args:
        found: items whose clips can be read.
        how: the protocol.
        lines: (row of the clip, (name, text) of what is written beside it) of all texts.

    Returns:
        "key", "picture" (base64 of a JPEG file) and "lines" of up to `COUNT` texts.
    """
    small = dataclasses.replace(how, frames=FRAMES)
    made = []
    for index in np.unique(np.linspace(0, len(lines) - 1, COUNT).round().astype(int)):
        row, beside = lines[index]
        item = found.items[row]
        made.append({
            "key": item.key,
            "picture": base64.b64encode(_strip(views.of(found.load(item), small)[0])).decode(),
            "lines": [list(each) for each in beside],
        })  # fmt: skip
    return made


def _strip(frames: np.ndarray) -> bytes:
    how = Image.Resampling.NEAREST if frames.shape[1] < SIDE else Image.Resampling.LANCZOS
    parts = [np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), how)) for frame in frames]
    apart = [np.pad(part, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for part in parts]
    file = io.BytesIO()
    Image.fromarray(np.concatenate(apart, axis=1)[:, :-GAP]).save(file, "JPEG", quality=80)
    return file.getvalue()
