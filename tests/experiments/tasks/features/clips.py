"""Items for tests of features: short clips of random pictures, one of which is damaged if asked for."""

import functools
import io

import numpy as np
from PIL import Image

from prismlab.core import errors
from prismlab.data.records import record
from prismlab.experiments.tasks.features import encoder_pass
from prismlab.experiments.tasks.interface import items, protocols

SMALL = protocols.Protocol(frames=2, resolution=8)


def made(count, name="clips", damaged=(), classes=3, first=0):
    """Return an item set of clips whose brightness tells their class."""
    found = tuple(
        items.Item(f"{name} {index}", labels=(index % classes,), extra={"index": index})
        for index in range(first, first + count)
    )
    load = functools.partial(loaded, damaged=frozenset(damaged), classes=classes)
    return items.ItemSet(name, found, tuple("abcdefgh"[:classes]), load)


def loaded(item, damaged, classes):
    """Return the clip of an item: two noisy pictures."""
    index = item.extra["index"]
    if index in damaged:
        raise errors.UserError(f"clip {index} is cut off")
    rng = np.random.default_rng(index)
    pictures = []
    for _ in range(2):
        noise = rng.integers(0, 40, (8, 8, 3)) + 200 * (index % classes) // classes
        file = io.BytesIO()
        Image.fromarray(noise.astype(np.uint8)).save(file, "PNG")
        pictures.append(file.getvalue())
    return record.of_frames(item.key, pictures, "a clip")


class Counting(encoder_pass.EncoderPass):
    """An encoder pass that counts the views it encodes, and stops with an error after some calls."""

    def __init__(self, tower, how=SMALL, batch_size=4, calls=10**9):
        super().__init__(tower, how, batch_size)
        self.seen, self.calls = 0, calls

    def __call__(self, videos):
        """Count, then encode."""
        if not self.calls:
            raise KeyboardInterrupt
        self.calls -= 1
        self.seen += len(videos)
        return super().__call__(videos)
