"""Equal frames give equal bytes, whatever the memory around them holds."""

import numpy as np

from prismlab.data.video import encode
from prismlab.data.world import world


def test_equal_frames_give_equal_bytes_in_a_used_heap():
    frames = world.World(clips=2, resolution=16).video(1)
    rng = np.random.default_rng(0)
    litter = [rng.integers(0, 255, rng.integers(100, 200_000), np.uint8) for _ in range(20)]
    found = set()
    for turn in range(300):
        litter[turn % 20] = rng.integers(0, 255, rng.integers(100, 200_000), np.uint8)
        found.add(encode.encode(frames, 8))
    assert len(found) == 1
