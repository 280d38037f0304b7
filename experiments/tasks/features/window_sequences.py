"""Untrimmed videos as sequences of windows, each of which is a clip of its own, encoded as any other."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float32, Int64

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
    """Features of the windows of videos.

    Args:
        found: the videos of which a window could be read.
        features: of the windows that could be read, a vector for each view.
        rows: int64 [n, s], row of each window in `features`, or -1; s is the longest video's number.
        windows: how videos were cut.
        missing: video -> reason, of the videos without a readable window.
        lost: number of windows that could not be read in the videos of `found`.
    """

    found: items.ItemSet
    features: feature_set.FeatureSet
    rows: Int64[np.ndarray, "n s"]
    windows: Windows
    missing: dict[str, str]
    lost: int

    @classmethod
    def of(cls, found: items.ItemSet, encoded: feature_set.Encoded, windows: Windows) -> "Sequences":
        """Return the sequences of videos whose windows were encoded.

        Args:
            found: the videos.
            encoded: the windows of `windows.cut(found)`.
            windows: how videos were cut.

        Raises:
            UserError: features are no vectors.
        """
        shape = encoded.features.take(np.zeros(1, np.int64)).shape
        if len(shape) != 3:
            raise errors.UserError(
                f"windows: expected a vector for each window, found features of shape {list(shape[2:])}; set "
                "the protocol to pooling='mean' or 'tower'"
            )
        longest = max(len(windows.starts(item.extra[segments.DURATION])) for item in found.items)
        rows = np.full((len(found), longest), -1, np.int64)
        for row, item in enumerate(encoded.found.items):
            rows[item.extra["video"], item.extra["window"]] = row
        read = (rows >= 0).any(axis=1)
        reasons: dict[str, str] = {}
        for key, reason in encoded.missing.items():
            reasons.setdefault(key.rpartition(" ")[0], reason)
        missing = {found.items[at].key: reasons.get(found.items[at].key, "") for at in np.flatnonzero(~read)}
        kept = np.flatnonzero(read).tolist()
        lost = sum(key.rpartition(" ")[0] not in missing for key in encoded.missing)
        return cls(found.subset(kept), encoded.features, rows[kept], windows, missing, lost)

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.rows)

    def take(
        self, videos: Int64[np.ndarray, " b"]
    ) -> tuple[Float32[np.ndarray, "b s d"], Bool[np.ndarray, "b s"]]:
        """Return the windows of videos, averaged over views, and which of them exist; others are 0."""
        rows = self.rows[videos]
        present = rows >= 0
        x = self.features.take(np.maximum(rows, 0).reshape(-1)).mean(axis=1)
        return x.reshape(*rows.shape, -1) * present[..., None], present
