"""Clips of a fixed number of frames around labelled frames, for data sets that label every frame."""

from collections.abc import Container, Mapping, Sequence

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import clip_files, item_sets

# Printed beside the score: a clip has the label of one of its frames.
RULE = "label of the middle frame"


def rule(length: int, every: int) -> str:
    """Return how clips are cut and labelled, in words."""
    return f"{RULE}, {length} frames, every {every}"


def check(length: int, every: int, fps: float) -> None:
    """Check the settings of windows.

    Raises:
        UserError: a length or step below 1, or a frame rate that is none.
    """
    if length < 1 or every < 1 or not 0 < fps < 10_000:
        raise errors.UserError(
            f"windows of frames: expected length and every of 1 or more and fps above 0, got {length}, "
            f"{every} and {fps}"
        )


def add(
    found: item_sets.Collector,
    files: clip_files.ClipFiles,
    video: str,
    labels: Sequence[tuple[int, ...]] | Mapping[int, tuple[int, ...]],
    *,
    frames: int,
    length: int,
    every: int,
    fps: float,
    keep: Container[int] | None = None,
) -> None:
    """Add a clip for each labelled frame of a video, or for each `every`-th of its frames.

    The first labelled frame is in the middle of the first step. A clip has the frames from `length // 2`
    before the labelled frame; at the ends of the video it is shorter.

    Args:
        found: where items are added.
        files: the user's videos.
        video: name of the video.
        labels: labels of each frame, counted from 0.
        frames: frames of the video.
        length: frames of a clip, in frames of the video.
        every: step between labelled frames that are used.
        fps: frames a second at which the video was annotated.
        keep: frames that may be the labelled one; None for all.
    """
    place = files.fields(video)
    for frame in range(min(every // 2, frames // 2), frames, every):
        if keep is not None and frame not in keep:
            continue
        first = max(0, frame - length // 2)
        last = min(frames, frame - length // 2 + length) - 1
        extra = {**place.get("extra", {}), "frames": (first, last), "fps": fps, "frame": frame}
        item = items.Item(
            f"{video}:{frame}", place["path"], labels=tuple(labels[frame]), group=video, extra=extra
        )
        found.add(item, f"{video}, frame {frame}")
