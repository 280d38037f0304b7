"""Check a single clip: container metadata, decoding, decoding cost and perceptual hash."""

import dataclasses
import time
from fractions import Fraction

import av
import numpy as np
import scipy.fft
from jaxtyping import UInt8
from PIL import Image

from prismlab.core import errors
from prismlab.data.corpus.inputs import media
from prismlab.data.records import record
from prismlab.data.video import decode, frames, sampling
from prismlab.data.video.containers import container, opening, pictures, tracks
from prismlab.data.video.presentation import clock, geometry, rational

_SIDE, _KEPT = 32, 8  # pixels of the hashed image and DCT coefficients kept, per side


@dataclasses.dataclass
class Finding:
    """Report on one clip.

    Args:
        home: name of its corpus.
        key: name of the clip.
        captions: its captions.
        kind: as in record.Record.
        codec: name of the video codec; empty for images.
        size: width and height in pixels.
        claimed: number of frames by the container metadata; 0 if missing.
        frames: number of decoded frames.
        key_distance: maximum GOP size, in frames.
        variable: the video has a variable frame rate.
        traits: which of `geometry.TRAITS` apply to some frame, and of `clock.TRAITS` to the video.
        seconds: duration.
        cost: CPU seconds to decode and resize the clip once.
        looks: perceptual hashes of the frames at 1/4, 1/2 and 3/4 of the clip; empty for a blank clip.
        fault: why the clip cannot be read, or empty.
    """

    home: str
    key: str
    captions: tuple[str, ...] = ()
    kind: str = "video"
    codec: str = ""
    size: tuple[int, int] = (0, 0)
    claimed: int = 0
    frames: int = 0
    key_distance: int = 0
    variable: bool = False
    traits: frozenset[str] = frozenset()
    seconds: float = 0.0
    cost: float = 0.0
    looks: tuple[int, ...] = ()
    fault: str = ""


def probe(
    home: str,
    example: record.Record,
    captions: tuple[str, ...],
    *,
    sampled: int,
    resolution: int,
    limits: container.Limits,
) -> Finding:
    """Check one record; errors are reported in `Finding.fault`.

    Args:
        home: name of its corpus.
        example: the record.
        captions: its captions.
        sampled: frames per example in training.
        resolution: frame height and width in training, in pixels.
        limits: limits on the file.
    """
    found = Finding(home, example.key, captions, example.kind)
    try:
        if example.kind == "video" and pictures.inside(example.video, limits, example.key) is None:
            _container(found, example.video, limits)
        _look_through(found, example, limits)
        begun = time.thread_time()
        _sample(found, example, sampled, resolution, limits)
        found.cost = time.thread_time() - begun
    except media.WRONG as error:
        found.fault = media.reason(error)
        return found
    if example.kind == "frames" and example.fps:
        found.seconds = found.frames / example.fps
    return found


def _look_through(found: Finding, example: record.Record, limits: container.Limits) -> None:
    """Read all frames, one at a time, to find damage; note their number and traits."""
    seen, timing = set(found.traits), clock.Timing()
    if example.kind == "video":
        for shown in decode.each_shown(
            example.video,
            start=example.start,
            end=example.end,
            limits=limits,
            name=example.key,
            timing=timing,
        ):
            found.frames += 1
            seen |= shown.traits()
            if geometry.TRANSPARENT not in seen and shown.transparent():
                seen.add(geometry.TRANSPARENT)
        if not found.frames:
            raise errors.UserError(f"{found.key}: expected frames in its part, got none; correct its times")
        seen |= timing.traits()
    else:
        for file in frames.split(example):
            seen |= pictures.read(file, limits, example.key).traits
            found.frames += 1
    found.traits = frozenset(seen)


def _sample(
    found: Finding, example: record.Record, sampled: int, resolution: int, limits: container.Limits
) -> None:
    """Decode, crop and resize the frames that training would, and hash three of them."""
    wanted = [int(number) for number in np.linspace(0, found.frames - 1, sampled)]
    quarters = [found.frames * quarter // 4 for quarter in (1, 2, 3)]
    looks = dict[int, int | None]()
    for number, pixels in frames.each(example, [*wanted, *quarters], limits=limits, name=example.key):
        found.size = (pixels.shape[1], pixels.shape[0])
        if number in wanted:
            sampling.centre_frame(pixels, resolution)
        if number in quarters:
            looks[number] = look(pixels)
    if None not in looks.values():
        found.looks = tuple(each for each in (looks[number] for number in quarters) if each is not None)


def _container(found: Finding, video: bytes, limits: container.Limits) -> None:
    try:
        with opening.opened(video, limits, found.key) as (opened, guarded):
            stream = tracks.film(opened, found.key)
            found.codec = stream.codec_context.name
            found.claimed = stream.frames
            keys, times, number = [], [], 0
            base = rational.exact(stream.time_base) or Fraction(0)
            for packet in opened.demux(stream):
                guarded.check(number)
                if packet.size:
                    keys += [number] if packet.is_keyframe else []
                    times += [] if packet.pts is None else [float(packet.pts * base)]
                    number += 1
            found.key_distance = int(max(np.diff([*keys, number]), default=0))
            gaps = np.diff(sorted(times))
            found.variable = len(gaps) > 1 and bool(gaps.max() > 1.5 * np.median(gaps))
            found.seconds = float(np.sum(gaps) + np.median(gaps)) if len(gaps) else 0.0
        with opening.opened(video, limits, found.key) as (opened, _):
            stream = tracks.film(opened, found.key)
            matrix = next((geometry.frame_matrix(frame) for frame in opened.decode(stream)), None)
            turn = geometry.UPRIGHT if matrix is None else geometry.matrix_class(matrix)
            found.traits = frozenset({turn}) if isinstance(turn, str) else found.traits
    except av.error.FFmpegError as error:
        raise errors.UserError(f"{found.key}: expected a readable video, got '{error.strerror}'") from error


def look(frame: UInt8[np.ndarray, "h w 3"]) -> int | None:
    """Return a 64-bit perceptual hash (pHash) of a frame; None for a blank frame.

    Args:
        frame: uint8 [h, w, 3].

    Source: Zauner 2010 (pHash): low DCT frequencies compared with their median.
    """
    grey = np.asarray(Image.fromarray(frame).convert("L").resize((_SIDE, _SIDE)), np.float64)
    if grey.std() < 2.0:
        return None
    low = scipy.fft.dctn(grey, norm="ortho")[:_KEPT, :_KEPT]
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def alike(findings: list[Finding], apart: int = 8) -> list[tuple[Finding, Finding, int]]:
    """Return pairs of near-duplicate clips by perceptual hash, nearest first; quadratic in their number.

    Args:
        findings: clips; blank ones are skipped.
        apart: maximum Hamming distance of each of the three hashes.
    """
    seen = [each for each in findings if len(each.looks) == 3]
    looks = np.array([each.looks for each in seen], np.uint64).reshape(-1, 3)
    pairs = []
    for index in range(len(seen) - 1):
        distance = np.bitwise_count(looks[index + 1 :] ^ looks[index]).max(axis=1)
        pairs += [
            (seen[index], seen[index + 1 + j], int(distance[j])) for j in np.flatnonzero(distance <= apart)
        ]
    return sorted(pairs, key=lambda pair: pair[2])
