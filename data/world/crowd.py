"""Rendered clips of one to three sprites, each with a motion of its own and a box in every frame."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from prismlab.core import errors
from prismlab.data.world import captions, scenes, sprites, truth, world

_TRIES = 50


@dataclasses.dataclass(frozen=True)
class One:
    """One sprite of a clip.

    Args:
        species, colour, motion: see `truth.Truth`.
        box: (x0, y0, x1, y1) in [0, 1] in the middle frame, y downwards; see `truth.Truth.boxes`.
    """

    species: str
    colour: str
    motion: str
    box: tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Truth:
    """Ground truth of one clip.

    Args:
        index: index of the clip in its world.
        background: one of truth.BACKGROUNDS.
        sprites: its sprites; later ones are drawn over earlier ones.
    """

    index: int
    background: str
    sprites: tuple[One, ...]

    def labels(self) -> dict[str, Any]:
        """Return the ground truth as JSON-serializable values."""
        shown = [{**dataclasses.asdict(one), "box": list(one.box)} for one in self.sprites]
        return {"index": self.index, "background": self.background, "sprites": shown}


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Rendered clips of several sprites.

    Args:
        look: as in `untrimmed.Untrimmed`; a clip has `look.frames` frames.
        clips: number of clips.
        most: largest number of sprites in a clip, from 1.
        overlap: largest overlap (IoU) of two boxes in the middle frame, where the draws allow it.
    """

    look: world.World
    clips: int = 1000
    most: int = 3
    overlap: float = 0.1
    segments: int = dataclasses.field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.clips < 1 or self.most < 1 or not 0 <= self.overlap <= 1:
            raise errors.UserError(
                "Crowd: expected clips and most of 1 or more and overlap in [0, 1], got "
                f"{self.clips}, {self.most} and {self.overlap}"
            )

    def __len__(self) -> int:
        return self.clips

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return self.look.frames

    @property
    def fps(self) -> int:
        """Frames per second."""
        return self.look.fps

    def truth(self, index: int) -> Truth:
        """Return the ground truth of clip `index`."""
        background, drawn = self._scene(index)
        middle = self.frames // 2
        found = []
        for sprite, poses, motion in drawn:
            box = [round(float(value), 4) for value in sprites.boxes(sprite, poses)[middle]]
            found.append(
                One(sprite.species, sprite.colour, truth.MOTIONS[motion], (box[0], box[1], box[2], box[3]))
            )
        return Truth(index, background, tuple(found))

    def video(self, index: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Render clip `index` with pixel noise."""
        background, drawn = self._scene(index)
        image = sprites.texture(background, self.look.resolution, self.look.contrast)
        for sprite, poses, _ in drawn:
            image = sprites.paint(image, sprite, poses)
        return scenes.noisy(self.look, image, scenes.stream(self.look, "noise", index))

    def caption(self, index: int) -> str:
        """Return the sprites of clip `index` in words."""
        named = [
            f"a {one.colour} {one.species} {captions.MOTION_PHRASES[one.motion]}"
            for one in self.truth(index).sprites
        ]
        return " and ".join(named)

    def _scene(self, index: int) -> tuple[str, list[tuple[sprites.Sprite, sprites.Poses, int]]]:
        rng = scenes.stream(self.look, "crowd", index)
        background = truth.BACKGROUNDS[int(rng.integers(len(truth.BACKGROUNDS)))]
        drawn: list[tuple[sprites.Sprite, sprites.Poses, int]] = []
        boxes: list[Any] = []
        for _ in range(int(rng.integers(1, self.most + 1))):
            sprite, motion = scenes.sprite(self.look, rng), int(rng.integers(len(truth.MOTIONS)))
            for _ in range(_TRIES):
                poses = scenes.poses(self.look, rng.random(4), [motion] * self.frames)
                box = sprites.boxes(sprite, poses)[self.frames // 2]
                if all(_overlap(box, other) <= self.overlap for other in boxes):
                    break
            drawn.append((sprite, poses, motion))
            boxes.append(box)
        return background, drawn


def _overlap(one: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    inside = float(np.prod(np.maximum(sides, 0)))
    area = lambda box: float(np.prod(box[2:] - box[:2]))
    return inside / max(area(one) + area(other) - inside, 1e-9)
