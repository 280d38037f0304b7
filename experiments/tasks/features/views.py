"""Views of a clip: the frames and crops of a protocol, cut from a record without randomness."""

import numpy as np
from jaxtyping import UInt8

from prismlab.core import errors
from prismlab.data.records import record
from prismlab.data.video import frames, sampling
from prismlab.experiments.tasks.interface import protocols


def frame_indices(length: int, how: protocols.Protocol) -> list[np.ndarray]:
    """Return the frame indices of each view along time.

    Args:
        length: number of frames of the clip, 1 or more.
        how: the protocol; without a stride one view is spread evenly over the clip.

    Returns:
        `how.clips` arrays int64 [t], ascending; the last frame is repeated where a clip is too short.
    """
    if how.stride is None:
        return [np.linspace(0, length, num=how.frames, endpoint=False).astype(np.int64)]
    span = (how.frames - 1) * how.stride + 1
    starts = np.linspace(0, max(0, length - span), num=how.clips).astype(np.int64)
    if how.clips == 1:
        starts = np.asarray([max(0, length - span) // 2])
    steps = how.stride * np.arange(how.frames)
    return [np.minimum(start + steps, length - 1) for start in starts]


def crops(video: UInt8[np.ndarray, "t h w 3"], how: protocols.Protocol) -> list[UInt8[np.ndarray, "t r r 3"]]:
    """Return the centre crop, the three crops along the longer side, or the whole frame."""
    if how.crop == "whole":
        return [sampling.resize(video, how.resolution)]
    if how.crop == "centre":
        return [sampling.centre(video, how.resolution)]
    height, width = video.shape[1:3]
    side, spare = min(height, width), abs(height - width)
    found = []
    for offset in (0, spare // 2, spare):
        top, left = (offset, 0) if height > width else (0, offset)
        found.append(sampling.centre(video[:, top : top + side, left : left + side], how.resolution))
    return found


def of(clip: record.Record, how: protocols.Protocol) -> UInt8[np.ndarray, "v t r r 3"]:
    """Decode the views of a clip.

    Args:
        clip: record of any kind.
        how: the protocol.

    Returns:
        uint8 [v, t, r, r, 3]; view i is crop i % crops of the part i // crops along time.

    Raises:
        UserError: the clip does not decode.
    """
    length = clip.frame_count or frames.count(clip)
    if not length:
        raise errors.UserError(f"clip {clip.key!r} has no frames; check its start and end")
    parts = frame_indices(length, how)
    cuts = {
        number: crops(pixels[None], how) for number, pixels in frames.each(clip, np.unique(parts).tolist())
    }
    made = [[cuts[int(number)] for number in part] for part in parts]
    return np.stack(
        [np.concatenate([cut[place] for cut in part]) for part in made for place in range(len(part[0]))]
    )


def passes(clip: record.Record, how: protocols.Protocol) -> UInt8[np.ndarray, "p v t r r 3"]:
    """Decode the views of a clip once and return them as they are, then augmented in every further pass.

    The random numbers of a view depend on the content of the clip, the pass and the view only.

    Raises:
        UserError: the clip does not decode.
    """
    plain = of(clip, how)
    found = [plain]
    for number in range(1, how.passes):
        made = []
        for view, video in enumerate(plain):
            rng = np.random.default_rng([clip.checksum, number, view])
            for change in how.augment:
                video = change(video, rng)
            made.append(video)
        found.append(np.stack(made))
    return np.stack(found)
