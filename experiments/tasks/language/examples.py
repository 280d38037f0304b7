"""Examples of generated texts beside frames of their clips, for the evaluation page."""

from collections.abc import Sequence
from typing import Any

from prismlab.experiments.tasks.features import pictures
from prismlab.experiments.tasks.interface import items, protocols

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
        "key", "picture" (base64 of a JPEG file) and "lines" of up to `pictures.COUNT` texts.
    """
    made = []
    for index in pictures.spread(len(lines)):
        row, beside = lines[index]
        item = found.items[row]
        made.append({
            "key": item.key,
            "picture": pictures.strip(pictures.frames(found, item, how, FRAMES)),
            "lines": [list(each) for each in beside],
        })  # fmt: skip
    return made
