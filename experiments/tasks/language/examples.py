"""Examples of generated texts beside frames of their clips, for the evaluation page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from prismlab.experiments.tasks.features import pictures
from prismlab.experiments.tasks.interface import items, protocols

COUNT = 8  # clips shown
FRAMES = 4  # of a picture


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
    made = []
    for index in np.unique(np.linspace(0, len(lines) - 1, COUNT).round().astype(int)):
        row, beside = lines[index]
        item = found.items[row]
        made.append({
            "key": item.key,
            "picture": pictures.strip(pictures.frames(found, item, how, FRAMES)),
            "lines": [list(each) for each in beside],
        })  # fmt: skip
    return made
