"""The rendered world: sprites on textures, whose appearance and motion are independent by construction.

A sprite's pose is a point (x, y, angle, log-radius) on a torus, drawn uniformly; one coordinate moves, at
constant speed, forwards or backwards. Hence, exactly: a single frame has one distribution under all eight
motions, and a clip played backwards is a clip of the paired motion.
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
    # 256 equally likely levels of a Gaussian (Winitzki's inverse error function, good to .002 deviations):
    # one random byte a value is ten times cheaper than one random normal.
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
    """A numbered collection of rendered clips; clip i depends on the seed, the split and i alone.

    The defaults are an easy world, in which a tiny model learns both appearance and motion in minutes.

    Args:
        clips: number of clips; never changes what a clip shows.
        seed: any integer.
        split: "train" or "test": disjoint streams of randomness, hence other sprite instances.
        resolution: height and width in pixels, even, 16 or more.
        frames: frames of one segment, 2 or more.
        fps: frames per second.
        segments: actions one after another; the clip has frames * segments frames, and neighbouring
            segments differ in motion.
        distractors: further, smaller sprites that stay still under the main one.
        motion_captions: share of the captions that name the motion, in [0, 1].
        caption_noise: share of the captions that are speech-like and partly wrong, in [0, 1].
        caption_forms: sentence forms of a clean caption, 1 to 4.
        speeds: factors on travel, turn and growth, one drawn for each clip.
        travel: way of a moving sprite over one segment, share of the frame.
        turn: rotation over one segment, in turns.
        growth: change of scale over one segment, share of the (wrapped) log-radius range.
        smallest: least radius of a sprite, share of the frame.
        largest: greatest radius, below .43 (a sprite must not meet its own copy around the border).
        deformation: strength of the random outline, in [0, 1].
        contrast: of the background's stripes, in [0, 1].
        pixel_noise: standard deviation of the noise of each value, pixels in [0, 1].
        held_out: (species, motion) pairs that the train split never shows; the test split shows all, so
            that its labels stay independent and the held-out pairs can be read apart.
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
        shares = ("motion_captions", "caption_noise", "deformation", "contrast", "pixel_noise")
        # A list comes from a configuration file; a tuple keeps the world hashable.
        object.__setattr__(self, "speeds", tuple(float(speed) for speed in self.speeds))
        object.__setattr__(self, "held_out", tuple((str(a), str(b)) for a, b in self.held_out))
        faults = [
            f"{name} in [0, 1], got {getattr(self, name)}"
            for name in shares
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
            faults.append("held_out to leave some species with enough motions, got nearly every pair")
        if faults:
            raise errors.UserError("\n".join(f"World wants {fault}" for fault in faults))

    def __len__(self) -> int:
        return self.clips

    def _shown(self, species: str) -> list[str]:
        return [motion for motion in truth_module.MOTIONS if (species, motion) not in self.held_out]

    def truth(self, index: int) -> truth_module.Truth:
        """Return what clip `index` shows.

        Args:
            index: from 0; may exceed `clips`.

        Returns:
            The clip's ground truth.
        """
        scene = self._scene(index)
        seconds = self.frames / self.fps
        segments = tuple((i * seconds, (i + 1) * seconds, motion) for i, motion in enumerate(scene.motions))
        return truth_module.Truth(
            index=index,
            species=scene.sprite.species,
            colour=scene.sprite.colour,
            background=scene.background,
            motion=scene.motions[0],
            speed=scene.speed,
            boxes=sprites.boxes(scene.sprite, scene.poses),
            segments=segments,
            questions=self._questions(scene),
        )

    def video(self, index: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Render clip `index`.

        Args:
            index: from 0; may exceed `clips`.

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
        """Render clip `index` before pixel noise.

        Args:
            index: from 0; may exceed `clips`.
            backwards: move along the same way from its end to its start.

        Returns:
            float32 [frames * segments, resolution, resolution, 3] in [0, 1].
        """
        scene = self._scene(index)
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
        """Return the caption of clip `index`, clean or speech-like as `caption_noise` says.

        Args:
            index: from 0; may exceed `clips`.

        Returns:
            One line of text, never empty.
        """
        rng = self._rng("caption", index)
        if rng.random() < self.caption_noise:
            # The next clip of an endless row, so that the number of clips plays no part.
            neighbour = self.truth(index + 1)
            return captions.asr_like(self.truth(index), neighbour, rng, motion_captions=self.motion_captions)
        return captions.clean(
            self.truth(index), rng, motion_captions=self.motion_captions, forms=self.caption_forms
        )

    def _rng(self, purpose: str, index: int) -> np.random.Generator:
        # One stream a purpose: turning one knob never moves what another one draws.
        key = np.array([_stream(self.seed, self.split, purpose), index], np.uint64)
        return np.random.Generator(np.random.Philox(key=key))

    def _sprite(self, rng: np.random.Generator) -> sprites.Sprite:
        species = truth_module.SPECIES[int(rng.random() * len(truth_module.SPECIES))]
        colour = truth_module.COLOURS[int(rng.random() * len(truth_module.COLOURS))]
        # Four terms of at most DEFORMATION / 4 each cannot sum to more than DEFORMATION.
        outline = (2 * rng.random(4, np.float32) - 1) * np.float32(self.deformation * sprites.DEFORMATION / 4)
        return sprites.Sprite(species, colour, outline)

    def _radius(self, scale: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
        return np.float32(self.smallest) * np.float32(self.largest / self.smallest) ** scale

    def _scene(self, index: int) -> _Scene:
        rng = self._rng("labels", index)
        # Rejection keeps the kept combinations equally likely.
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
