"""Pictures of clips for the evaluation page: JPEG files as text, small enough to be kept beside a score."""

import base64
import dataclasses
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from prismlab.experiments.tasks.features import views
from prismlab.experiments.tasks.interface import items, protocols

COUNT = 8  # examples of a score
SIDE = 96  # of a frame of a strip; larger frames are shrunk, smaller ones enlarged without smoothing
GAP = 3  # white pixels between frames


def frames(
    found: items.ItemSet, item: items.Item, how: protocols.Protocol, count: int
) -> UInt8[np.ndarray, "count r r 3"]:
    """Return frames of a clip, the first of `count` equal parts of its first view.

    Args:
        found: the split of the item.
        item: a clip that can be read.
        how: the protocol.
        count: number of frames.
    """
    return views.of(found.load(item), dataclasses.replace(how, frames=count, passes=1, augment=()))[0]


def strip(shown: UInt8[np.ndarray, "t r r 3"], side: int = SIDE) -> str:
    """Return frames beside each other as base64 of a JPEG file.

    Args:
        shown: square frames.
        side: of each in the picture.
    """
    how = Image.Resampling.NEAREST if shown.shape[1] < side else Image.Resampling.LANCZOS
    parts = [np.asarray(Image.fromarray(frame).resize((side, side), how)) for frame in shown]
    apart = [np.pad(part, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for part in parts]
    file = io.BytesIO()
    Image.fromarray(np.concatenate(apart, axis=1)[:, :-GAP]).save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def spread(count: int) -> list[int]:
    """Return up to `COUNT` places of a list, spread evenly.

    Args:
        count: length of the list.
    """
    return np.unique(np.linspace(0, count - 1, COUNT).round().astype(int)).tolist() if count else []
