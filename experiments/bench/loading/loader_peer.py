"""Baseline of `loader_speed`: a PyTorch DataLoader over decord2, run in a separate environment.

    python loader_peer.py FOLDER SIDE FRAMES BATCH CLIPS WORKERS

Prints clips per second of wall-clock time after the first batch. Does not import prismlab.
"""

import itertools
import pathlib
import sys
import time

import numpy as np


class Clips:
    """Map-style data set that samples one random frame from each of `frames` equal segments."""

    def __init__(self, folder: str, side: int, frames: int, clips: int):
        self.paths = sorted(pathlib.Path(folder).glob("*.mp4"))
        self.side, self.frames, self.clips = side, frames, clips

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int):
        import decord
        import torch

        path = self.paths[index % len(self.paths)]
        reader = decord.VideoReader(str(path), width=self.side, height=self.side, num_threads=1)
        edges = np.linspace(0, len(reader), self.frames + 1).astype(int)
        random = np.random.default_rng()
        wanted = [int(random.integers(low, high)) for low, high in itertools.pairwise(edges)]
        return torch.from_numpy(reader.get_batch(wanted).asnumpy())


def main() -> None:
    """Time the loader and print clips per second."""
    import torch.utils.data

    folder, *numbers = sys.argv[1:]
    side, frames, batch, clips, workers = map(int, numbers)
    loader = iter(
        torch.utils.data.DataLoader(
            Clips(folder, side, frames, clips), batch, shuffle=True, num_workers=workers, drop_last=True
        )
    )
    next(loader)
    start = time.perf_counter()
    done = sum(len(each) for each in loader)
    print(done / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
