"""Long rendered clips in which a sprite moves now and then: one to four motions, each with its time."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import UInt8

from prismlab.core import errors
from prismlab.data.world import captions, scenes, sprites, truth, world


@dataclasses.dataclass(frozen=True)
class Truth:
    """Ground truth of one long clip.

    Args:
        index: index of the clip in its world.
        species, colour, background: see `truth.Truth`.
        segments: (start in seconds, end in seconds, motion) in the order of time, apart from each other.
    """

    index: int
    species: str
    colour: str
    background: str
    segments: tuple[tuple[float, float, str], ...]

    def labels(self) -> dict[str, Any]:
        """Return the ground truth as JSON-serializable values."""
        return {**dataclasses.asdict(self), "segments": [list(each) for each in self.segments]}


@dataclasses.dataclass(frozen=True)
class Untrimmed:
    """Rendered clips of one sprite that rests, moves, rests and moves again.

    Args:
        look: seed, split, resolution, frame rate, sizes, textures and noise; `look.travel`, `turn` and
            `growth` in `look.frames` frames give the speeds. Its number of clips is not used.
        clips: number of clips.
        frames: frames of a clip.
        most: largest number of motions in a clip, from 1.
        shortest, longest: frames of a motion.
        rest: least number of frames between two motions.
    """

    look: world.World
    clips: int = 400
    frames: int = 96
    most: int = 4
    shortest: int = 10
    longest: int = 28
    rest: int = 4
    segments: int = dataclasses.field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.most < 1 or not 2 <= self.shortest <= self.longest or self.clips < 1 or self.rest < 1:
            raise errors.UserError(
                "Untrimmed: expected clips, most and rest of 1 or more and 2 <= shortest <= longest, got "
                f"{self.clips}, {self.most}, {self.rest}, {self.shortest} and {self.longest}"
            )
        needed = self.most * self.shortest + (self.most + 1) * self.rest
        if self.frames < needed:
            raise errors.UserError(
                f"Untrimmed: expected frames of {needed} or more for {self.most} motions, got {self.frames}"
            )

    def __len__(self) -> int:
        return self.clips

    @property
    def fps(self) -> int:
        """Frames per second."""
        return self.look.fps

    def spans(self, index: int) -> list[tuple[int, int, int]]:
        """Return (first frame, end, motion) of the motions of clip `index`."""
        rng = scenes.stream(self.look, "spans", index)
        count = int(rng.integers(1, self.most + 1))
        lengths = rng.integers(self.shortest, self.longest + 1, count)
        room = self.frames - (count + 1) * self.rest
        if lengths.sum() > room:
            spare = room - count * self.shortest
            longer = lengths - self.shortest
            lengths = self.shortest + longer * spare // longer.sum()
        over = np.sort(rng.integers(0, room - lengths.sum() + 1, count))
        motions = rng.integers(0, len(truth.MOTIONS), count)
        ends = np.cumsum(lengths) + over + self.rest * np.arange(1, count + 1)
        return [(int(e - n), int(e), int(m)) for e, n, m in zip(ends, lengths, motions)]

    def truth(self, index: int) -> Truth:
        """Return the ground truth of clip `index`."""
        sprite, background, _ = self._scene(index)
        segments = tuple(
            (first / self.fps, end / self.fps, truth.MOTIONS[motion])
            for first, end, motion in self.spans(index)
        )
        return Truth(index, sprite.species, sprite.colour, background, segments)

    def video(self, index: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Render clip `index` with pixel noise."""
        sprite, background, poses = self._scene(index)
        canvas = sprites.texture(background, self.look.resolution, self.look.contrast)
        image = sprites.paint(canvas, sprite, poses)
        return scenes.noisy(self.look, image, scenes.stream(self.look, "noise", index))

    def caption(self, index: int) -> str:
        """Return the motions of clip `index` in words."""
        found = self.truth(index)
        said = " then ".join(captions.MOTION_PHRASES[motion] for _, _, motion in found.segments)
        return f"a {found.colour} {found.species} {said}"

    def _scene(self, index: int) -> tuple[sprites.Sprite, str, sprites.Poses]:
        rng = scenes.stream(self.look, "scene", index)
        sprite = scenes.sprite(self.look, rng)
        background = truth.BACKGROUNDS[int(rng.integers(len(truth.BACKGROUNDS)))]
        motions = np.full(self.frames, scenes.STILL)
        for first, end, motion in self.spans(index):
            motions[first:end] = motion
        return sprite, background, scenes.poses(self.look, rng.random(4), motions)
