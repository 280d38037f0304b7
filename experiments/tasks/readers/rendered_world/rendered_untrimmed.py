"""Long clips of the rendered world with the times of their motions."""

import dataclasses
import functools
import pathlib

from prismlab.core import errors
from prismlab.data.loader import source
from prismlab.data.records import record, shards
from prismlab.data.world import truth
from prismlab.experiments.tasks.interface import items, segments


@dataclasses.dataclass(frozen=True)
class RenderedUntrimmed:
    """Rendered clips of one to four motions and rests between them; a motion is an action.

    Args:
        train, test: clips of the splits, a `source.Rendered` of `untrimmed.Untrimmed`.
    """

    train: source.Source
    test: source.Source

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the videos of "train" or "test"."""
        home = {"train": self.train, "test": self.test}.get(split)
        if home is None:
            raise errors.UserError(f"the rendered world has the splits train and test, got {split!r}")
        records, found = home.open(cache), []
        for index in range(len(records)):
            one = records[index]
            if not isinstance(one.labels.get("segments"), list):
                raise errors.UserError(
                    f"rendered world: clip {one.key!r} has no segments; set source.Rendered.world to "
                    "@untrimmed.Untrimmed()"
                )
            spans = tuple(
                segments.Segment(start, end, truth.MOTIONS.index(motion))
                for start, end, motion in one.labels["segments"]
            )
            extra = {"index": index, segments.SEGMENTS: spans, segments.DURATION: one.end}
            labels = tuple(sorted({each.label for each in spans}))
            found.append(items.Item(one.key, labels=labels, extra=extra))
        load = functools.partial(_load, records)
        return items.ItemSet(
            f"world of long clips/{split}", tuple(found), truth.MOTIONS, load, multi_label=True
        )


def _load(records: shards.Records, item: items.Item) -> record.Record:
    return dataclasses.replace(
        records[item.extra["index"]], key=item.key, start=item.start, end=item.end, frame_count=None
    )
