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
    """The clips of a source that have captions, with these; all of them are the split "test".

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
            if one.caption is not None:
                found.append(items.Item(one.key, texts=(one.caption,), extra={"index": index}))
        if not found:
            raise errors.UserError(
                "captioned_source.CaptionedSource.source: expected clips with captions, found none; name a "
                "source with captions"
            )
        return items.ItemSet("captions/test", tuple(found), (), functools.partial(_load, records))


def _load(records: shards.Records, item: items.Item) -> record.Record:
    return records[item.extra["index"]]
