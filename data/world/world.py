"""Synthetic video dataset of moving sprites on textures; appearance and motion are independent by design.

A sprite's pose (x, y, angle, log-radius) is sampled uniformly on a torus; one coordinate changes at constant
speed, forwards or backwards. Hence single frames have exactly the same distribution under all eight motions
(a single frame contains no information about motion), and a clip played backwards shows the opposite motion.
"""

import dataclasses
import functools
import hashlib
import itertools

import numpy as np
from jaxtyping import Float, UInt8

from prismlab.core import errors
from prismlab.data.world import captions, sprites
from prismlab.data.world import truth as truth_module

SPLITS = ("train", "test")


@functools.lru_cache(maxsize=64)
def _stream(seed: int, split: str, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{split}/{purpose}".encode()).digest()[:8], "big")


@functools.lru_cache(maxsize=8)
def _noise_table(deviation: float) -> Float[np.ndarray, "256"]:
    # 256 equally likely levels of a Gaussian (Winitzki's approximation of the inverse error function,
    # accurate to .002 deviations): one random byte per value is ten times faster than one normal sample.
    position = 2 * (np.arange(256) + 0.5) / 256 - 1
    log = np.log1p(-position * position)
    half = 2 / (np.pi * 0.147) + log / 2
    normal = np.sqrt(2.0) * np.sign(position) * np.sqrt(np.sqrt(half * half - log / 0.147) - half)
    return (255 * deviation * normal / normal.std()).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _Scene:
    sprite: sprites.Sprite
    poses: sprites.Poses
    background: str
    motions: tuple[str, ...]
    speed: float


@dataclasses.dataclass(frozen=True)
class World:
    """Synthetic dataset of rendered clips; clip i depends only on the settings, the seed, the split and i.

    With the defaults a tiny model learns both appearance and motion in minutes.

    Args:
        clips: number of clips; does not affect the content of any clip.
        seed: random seed, any integer.
        split: "train" or "test"; the splits use independent random streams.
        resolution: height and width in pixels, even, 16 or more.
        frames: frames per segment, 2 or more.
        fps: frames per second.
        segments: number of consecutive actions; a clip has frames * segments frames, and adjacent segments
            differ in motion.
        distractors: number of additional smaller, static sprites, drawn below the main one.
        motion_captions: fraction of captions that name the motion, in [0, 1].
        caption_noise: fraction of captions that are ASR-like and partly wrong, in [0, 1].
        caption_forms: number of sentence templates for clean captions, 1 to 4.
        speeds: multipliers of travel, turn and growth; one is sampled per clip.
        travel: distance a sprite moves during one segment, as a fraction of the frame size.
        turn: rotation during one segment, in turns.
        growth: change of scale during one segment, as a fraction of the (wrapped) log-radius range.
        smallest: minimum radius of a sprite, as a fraction of the frame size.
        largest: maximum radius, below .43 (so that a sprite never overlaps its wrapped copy).
        deformation: strength of the random outline deformation, in [0, 1].
        contrast: contrast of the background stripes, in [0, 1].
        pixel_noise: standard deviation of the pixel noise, for pixel values in [0, 1].
        held_out: (species, motion) pairs excluded from the train split. The test split contains all pairs, so
            its labels stay independent and held-out pairs can be evaluated separately.
    """

    clips: int = 1000
    seed: int = 0
    split: str = "train"
    resolution: int = 32
    frames: int = 8
    fps: int = 8
    segments: int = 1
    distractors: int = 0
    motion_captions: float = 0.0
    caption_noise: float = 0.0
    caption_forms: int = 1
    speeds: tuple[float, ...] = (1.0,)
    travel: float = 0.6
    turn: float = 0.4
    growth: float = 0.5
    smallest: float = 0.20
    largest: float = 0.34
    deformation: float = 1.0
    contrast: float = 0.35
    pixel_noise: float = 0.02
    held_out: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        fractions = ("motion_captions", "caption_noise", "deformation", "contrast", "pixel_noise")
        # Config files give lists; tuples keep the world hashable.
        object.__setattr__(self, "speeds", tuple(float(speed) for speed in self.speeds))
        object.__setattr__(self, "held_out", tuple((str(a), str(b)) for a, b in self.held_out))
        faults = [
            f"{name} in [0, 1], got {getattr(self, name)}"
            for name in fractions
            if not 0 <= getattr(self, name) <= 1
        ]
        least = {"clips": 1, "resolution": 16, "frames": 2, "fps": 1, "segments": 1, "distractors": 0}
        faults += [
            f"{n} of {low} or more, got {getattr(self, n)}"
            for n, low in least.items()
            if getattr(self, n) < low
        ]
        if self.resolution % 2:
            faults.append(f"an even resolution (H.264 halves colour), got {self.resolution}")
        if self.split not in SPLITS:
            faults.append(f"split one of {SPLITS}, got {self.split!r}")
        if not 1 <= self.caption_forms <= len(captions.FORMS):
            faults.append(f"caption_forms from 1 to {len(captions.FORMS)}, got {self.caption_forms}")
        if not 0 < self.smallest < self.largest < 0.43:
            faults.append(f"0 < smallest < largest < .43, got {self.smallest} and {self.largest}")
        if not self.speeds or min(self.speeds) <= 0:
            faults.append(f"speeds above 0, at least one, got {self.speeds}")
        for species, motion in self.held_out:
            if species not in truth_module.SPECIES or motion not in truth_module.MOTIONS:
                faults.append(f"held_out pairs of a species and a motion, got {(species, motion)}")
        shown = [m for s in truth_module.SPECIES if len(m := self._shown(s)) >= min(2, self.segments)]
        if not shown:
            faults.append(
                "held_out that leaves at least one species with enough motions, got nearly every pair"
            )
        if faults:
            raise errors.UserError("\n".join(f"World: expected {fault}" for fault in faults))

    def __len__(self) -> int:
        return self.clips

    def _shown(self, species: str) -> list[str]:
        return [motion for motion in truth_module.MOTIONS if (species, motion) not in self.held_out]

    def truth(self, index: int) -> truth_module.Truth:
        """Return the ground truth of clip `index`.

        Args:
            index: clip index from 0; may exceed `clips`.

        Returns:
            Labels, boxes, segments and questions of the clip.
        """
        scene = _kept_scene(self, index)
        seconds = self.frames / self.fps
        segments = tuple((i * seconds, (i + 1) * seconds, motion) for i, motion in enumerate(scene.motions))
        return truth_module.Truth(
            index=index,
            species=scene.sprite.species,
            colour=scene.sprite.colour,
            background=scene.background,
            motion=scene.motions[0],
            speed=scene.speed,
            boxes=_kept_boxes(self, index),
            segments=segments,
            questions=self._questions(scene),
        )

    def video(self, index: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Render clip `index` as uint8 frames, with pixel noise.

        Args:
            index: clip index from 0; may exceed `clips`.

        Returns:
            uint8 [frames * segments, resolution, resolution, 3], RGB.
        """
        image = self.clean_video(index)
        image *= 255
        noise = self._rng("noise", index).integers(0, 256, image.shape, np.uint8)
        image += _noise_table(self.pixel_noise).take(noise)
        image += np.float32(0.5)
        return np.clip(image, 0, 255, out=image).astype(np.uint8)

    def clean_video(self, index: int, *, backwards: bool = False) -> Float[np.ndarray, "t h w 3"]:
        """Render clip `index` without pixel noise.

        Args:
            index: clip index from 0; may exceed `clips`.
            backwards: reverse the motion of the main sprite in time.

        Returns:
            float32 [frames * segments, resolution, resolution, 3] in [0, 1].
        """
        scene = _kept_scene(self, index)
        canvas = sprites.texture(scene.background, self.resolution, self.contrast)
        if self.distractors:
            rng = self._rng("distractors", index)
            for _ in range(self.distractors):
                sprite = self._sprite(rng)
                x, y, angle, scale = rng.random((4, 1), np.float32)
                radius = np.float32(0.4) * self._radius(scale)
                poses = sprites.Poses(x, y, angle * np.float32(2 * np.pi), radius)
                canvas = sprites.paint(canvas, sprite, poses)
        return sprites.paint(canvas, scene.sprite, scene.poses.reversed() if backwards else scene.poses)

    def caption(self, index: int) -> str:
        """Return the caption of clip `index`; ASR-like with probability `caption_noise`, else clean.

        Args:
            index: clip index from 0; may exceed `clips`.

        Returns:
            One line of text, never empty.
        """
        rng = self._rng("caption", index)
        if rng.random() < self.caption_noise:
            # Not wrapped at `clips`, so that captions do not depend on the number of clips.
            neighbour = self.truth(index + 1)
            return captions.asr_like(self.truth(index), neighbour, rng, motion_captions=self.motion_captions)
        return captions.clean(
            self.truth(index), rng, motion_captions=self.motion_captions, forms=self.caption_forms
        )

    def _rng(self, purpose: str, index: int) -> np.random.Generator:
        # One random stream per purpose, so that changing one setting does not affect the other draws.
        key = np.array([_stream(self.seed, self.split, purpose), index], np.uint64)
        return np.random.Generator(np.random.Philox(key=key))

    def _sprite(self, rng: np.random.Generator) -> sprites.Sprite:
        species = truth_module.SPECIES[int(rng.random() * len(truth_module.SPECIES))]
        colour = truth_module.COLOURS[int(rng.random() * len(truth_module.COLOURS))]
        # Four terms of at most DEFORMATION / 4 each sum to at most DEFORMATION.
        outline = (2 * rng.random(4, np.float32) - 1) * np.float32(self.deformation * sprites.DEFORMATION / 4)
        return sprites.Sprite(species, colour, outline)

    def _radius(self, scale: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
        return np.float32(self.smallest) * np.float32(self.largest / self.smallest) ** scale

    def _scene(self, index: int) -> _Scene:
        rng = self._rng("labels", index)
        # Rejection sampling: the remaining combinations stay equally likely.
        while True:
            sprite = self._sprite(rng)
            background = truth_module.BACKGROUNDS[int(rng.random() * len(truth_module.BACKGROUNDS))]
            speed = self.speeds[int(rng.random() * len(self.speeds))]
            first, count = int(rng.random() * len(truth_module.MOTIONS)), len(truth_module.MOTIONS)
            motions = [first]
            for step in rng.random(self.segments - 1):
                motions.append((motions[-1] + 1 + int(step * (count - 1))) % count)
            names = tuple(truth_module.MOTIONS[motion] for motion in motions)
            if self.split != "train" or not any((sprite.species, name) in self.held_out for name in names):
                break
        start = self._rng("pose", index).random(4)
        step = np.array([self.travel, self.travel, self.turn, self.growth]) * speed / (self.frames - 1)
        steps = np.zeros((self.segments, self.frames, 4))
        for segment, motion in enumerate(motions):
            steps[segment, :, motion // 2] = step[motion // 2] * (1 - 2 * (motion % 2))
        steps[0, 0] = 0
        x, y, angle, scale = (((start + steps.reshape(-1, 4).cumsum(0)) % 1).T).astype(np.float32)
        poses = sprites.Poses(x, y, angle * np.float32(2 * np.pi), self._radius(scale))
        return _Scene(sprite, poses, background, names, speed)

    def _questions(self, scene: _Scene) -> tuple[dict[str, str], ...]:
        # The main sprite is larger than any distractor.
        large = "large " if self.distractors else ""
        name, actions = f"{large}{scene.sprite.species}", [captions.MOTION_PHRASES[m] for m in scene.motions]
        pairs = [
            (f"what is the {large}shape", scene.sprite.species),
            (f"what colour is the {name}", scene.sprite.colour),
            ("what is the background", scene.background),
            ("how many shapes are there", str(1 + self.distractors)),
        ]
        if len(actions) == 1:
            pairs.append((f"what is the {name} doing", actions[0]))
        else:
            pairs += [
                (f"what does the {name} do first", actions[0]),
                (f"what does the {name} do last", actions[-1]),
            ]
            pairs += [
                (f"what comes after {a}", b) for a, b in itertools.pairwise(actions) if actions.count(a) == 1
            ]
        return tuple({"question": question, "answer": answer} for question, answer in pairs)


# Pixels, caption and labels of a clip share its scene; a caption may also read the truth of the next clip.
@functools.lru_cache(maxsize=4)
def _kept_scene(world: World, index: int) -> _Scene:
    return world._scene(index)


@functools.lru_cache(maxsize=4)
def _kept_boxes(world: World, index: int) -> Float[np.ndarray, "t 4"]:
    scene = _kept_scene(world, index)
    boxes = sprites.boxes(scene.sprite, scene.poses)
    boxes.flags.writeable = False
    return boxes
