"""Untrimmed videos as sequences of windows, each of which is a clip of its own, encoded as any other."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from prismlab.core import errors
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.interface import items, segments

LONGEST = 4096  # windows of a video


@dataclasses.dataclass(frozen=True)
class Windows:
    """How a video is cut.

    Args:
        seconds: length of a window. The paper: 16 frames at 15 a second.
        hop: seconds between the starts of two windows; None for windows that follow each other.

    The time of a window is its middle. A last part shorter than half a window is not seen.
    """

    seconds: float = 16 / 15
    hop: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.seconds < 1e6 or not 0 < self.step < 1e6:
            raise errors.UserError(
                f"windows: expected seconds and hop above 0, got {self.seconds} and {self.hop}"
            )

    @property
    def step(self) -> float:
        """Seconds between the starts of two windows."""
        return self.seconds if self.hop is None else self.hop

    def starts(self, duration: float) -> Float32[np.ndarray, " s"]:
        """Return the starts of the windows of a video, at least one."""
        count = 1 + max(0, int(np.floor((duration - self.seconds / 2) / self.step + 1e-6)))
        return (self.step * np.arange(min(count, LONGEST))).astype(np.float32)

    def cut(self, found: items.ItemSet) -> items.ItemSet:
        """Return the windows of all videos as items, grouped by video.

        Raises:
            UserError: a video has no duration.
        """
        made = []
        for row, item in enumerate(found.items):
            duration = item.extra.get(segments.DURATION)
            if not isinstance(duration, int | float) or not 0 < duration < 1e6:
                raise errors.UserError(
                    f"{found.name}: expected the duration of {item.key!r} in seconds, got {duration!r}"
                )
            for number, start in enumerate(self.starts(duration).tolist()):
                end = min(start + self.seconds, float(duration))
                extra = {**item.extra, "video": row, "window": number}
                made.append(
                    dataclasses.replace(
                        item, key=f"{item.key} {number}", start=start, end=end, labels=(), extra=extra
                    )
                )
        return items.ItemSet(f"{found.name}, windows", tuple(made), (), found.load)


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Features of the windows of videos: a step of a sequence for each window, or for each of its frames.

    Args:
        found: the videos of which a window could be read.
        features: of the windows that could be read, a vector for each view, or one for each of its frames.
        rows: int64 [n, w], row of each window in `features`, or -1; w is the longest video's number.
        windows: how videos were cut.
        missing: video -> reason, of the videos without a readable window.
        lost: number of windows that could not be read in the videos of `found`.
        frames: vectors of a window, which follow each other in time.
        filled: float64 [n, w], share of the length of each window that is in the video; None for all of it.
            The frames of a window are spread over this share.
    """

    found: items.ItemSet
    features: feature_set.FeatureSet
    rows: Int64[np.ndarray, "n w"]
    windows: Windows
    missing: dict[str, str]
    lost: int
    frames: int = 1
    filled: Float64[np.ndarray, "n w"] | None = None

    @property
    def step(self) -> float:
        """Seconds between two steps."""
        return self.windows.step / self.frames

    @property
    def first(self) -> float:
        """Time of the first step in seconds: the middle of a window, or of its first frame."""
        return self.windows.seconds / (2 * self.frames)

    @property
    def length(self) -> int:
        """Steps of the longest video."""
        return self.rows.shape[1] * self.frames

    @classmethod
    def of(cls, found: items.ItemSet, encoded: feature_set.Encoded, windows: Windows) -> "Sequences":
        """Return the sequences of videos whose windows were encoded.

        Args:
            found: the videos.
            encoded: the windows of `windows.cut(found)`.
            windows: how videos were cut.

        Raises:
            UserError: features are no vectors, or those of frames of windows that overlap.
        """
        shape = encoded.features.take(np.zeros(1, np.int64)).shape
        if len(shape) not in (3, 4):
            raise errors.UserError(
                "windows: expected a vector for each window or frame, found features of shape "
                f"{list(shape[2:])}; set the protocol to pooling='frames', 'quarters', 'mean' or 'tower'"
            )
        frames = shape[2] if len(shape) == 4 else 1
        if len(shape) == 4 and not np.isclose(windows.seconds, windows.step):
            raise errors.UserError(
                "windows: frames of windows are steps of one sequence only if windows follow each other; set "
                f"window_sequences.Windows.hop=None, got windows of {windows.seconds:g} s every "
                f"{windows.step:g} s"
            )
        longest = max(len(windows.starts(item.extra[segments.DURATION])) for item in found.items)
        rows = np.full((len(found), longest), -1, np.int64)
        filled = np.ones((len(found), longest))
        for row, item in enumerate(encoded.found.items):
            place = item.extra["video"], item.extra["window"]
            rows[place] = row
            if item.start is not None and item.end is not None:
                filled[place] = (item.end - item.start) / windows.seconds
        read = (rows >= 0).any(axis=1)
        reasons: dict[str, str] = {}
        for key, reason in encoded.missing.items():
            reasons.setdefault(key.rpartition(" ")[0], reason)
        missing = {found.items[at].key: reasons.get(found.items[at].key, "") for at in np.flatnonzero(~read)}
        kept = np.flatnonzero(read).tolist()
        lost = sum(key.rpartition(" ")[0] not in missing for key in encoded.missing)
        return cls(
            found.subset(kept), encoded.features, rows[kept], windows, missing, lost, frames, filled[kept]
        )

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.rows)

    def take(
        self, videos: Int64[np.ndarray, " b"]
    ) -> tuple[Float32[np.ndarray, "b s d"], Bool[np.ndarray, "b s"]]:
        """Return the steps of videos, averaged over views, and which of them exist; others are 0."""
        rows = self.rows[videos]
        x = self.features.take(np.maximum(rows, 0).reshape(-1)).mean(axis=1)
        present = np.repeat(rows >= 0, self.frames, axis=1)
        if self.frames > 1 and self.filled is not None:
            share = self.filled[videos].reshape(-1, 1)
            middle = (np.arange(self.frames) + 0.5) / self.frames
            frame = np.minimum(middle / share * self.frames, self.frames - 1).astype(np.int64)
            x = np.take_along_axis(x, frame[..., None], axis=1)
            present &= (middle < share).reshape(present.shape)
        return x.reshape(*present.shape, -1) * present[..., None], present
