"""Any source of clips with captions as a data set for retrieval, such as the user's own shards."""

import dataclasses
import functools
import pathlib

from prismlab.core import errors
from prismlab.data.loader import source
from prismlab.data.records import record, shards
from prismlab.experiments.tasks.interface import items


@dataclasses.dataclass(frozen=True)
class CaptionedSource:
    """The clips of a source with their captions; all of them are the split "test".

    Args:
        source: the source.
    """

    source: source.Source

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the items of "test"."""
        if split != "test":
            raise errors.UserError(f"a source of captioned clips has the split test, got {split!r}")
        records = self.source.open(cache)
        found = []
        for index in range(len(records)):
            one = records[index]
            found.append(items.Item(one.key, texts=(one.caption,), extra={"index": index}))
        return items.ItemSet("captions/test", tuple(found), (), functools.partial(_load, records))


def _load(records: shards.Records, item: items.Item) -> record.Record:
    return records[item.extra["index"]]
