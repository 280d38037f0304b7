"""Captions and clips of a retrieval pool: which are right for which, and what repeated captions count as."""

import collections
import dataclasses
from collections.abc import Sequence

from prismlab.core import errors
from prismlab.data.loader import tokenizer
from prismlab.experiments.tasks.interface import items

CAPTIONS = ("all", "first")
SAME = ("miss", "hit", "drop")


def chosen(found: items.ItemSet, captions: str, same: str, limit: int | None) -> items.ItemSet:
    """Return the clips of a pool, with the captions that count.

    Args:
        found: items with captions; empty captions are left out and counted.
        captions: "all" or "first" of each clip.
        same: "drop" leaves out clips with a caption of an earlier one; captions are equal if they are
            so after the tokenizer's normalisation.
        limit: largest number of clips, from the first on; None for all.

    Raises:
        UserError: no clip has a caption.
    """
    kept: list[items.Item] = []
    seen: set[str] = set()
    empty = 0
    for item in found.items:
        texts = tuple(text for text in item.texts if tokenizer.canonicalise(text) != ".")
        empty += len(item.texts) - len(texts)
        texts = texts[:1] if captions == "first" else texts
        words = {tokenizer.canonicalise(text) for text in texts}
        if same != "drop" or not words & seen:
            kept.append(dataclasses.replace(item, texts=texts))
            seen |= words
        if len(kept) == limit:
            break
    if not any(item.texts for item in kept):
        raise errors.UserError(f"{found.name}: no clip has a caption, so there is nothing to retrieve by")
    notes = {**found.notes, **({"empty captions": empty} if empty else {})}
    return dataclasses.replace(found, items=tuple(kept), notes=notes)


@dataclasses.dataclass(frozen=True)
class Pool:
    """The captions of a pool of clips.

    Args:
        captions: all captions, clip by clip.
        caption_keys: (name, group) of each caption.
        clips_of: rows of the clips that are right for each caption.
        captions_of: rows of the captions that are right for each clip; none for a clip without captions.
        repeated: captions that several clips have.
    """

    captions: list[str]
    caption_keys: list[tuple[str, str]]
    clips_of: list[list[int]]
    captions_of: list[list[int]]
    repeated: int

    @classmethod
    def of(cls, found: items.ItemSet, same: str) -> "Pool":
        """Return the captions of clips.

        Args:
            found: the clips.
            same: "hit" makes equal captions right for each other's clips.
        """
        captions = [(row, text) for row, item in enumerate(found.items) for text in item.texts]
        keys = [
            (f"{item.key} caption {number}", item.group)
            for item in found.items
            for number in range(len(item.texts))
        ]
        words = [tokenizer.canonicalise(text) for _, text in captions]
        owners: dict[str, set[int]] = collections.defaultdict(set)
        for (row, _), text in zip(captions, words):
            owners[text].add(row)
        clips_of = [
            sorted(owners[text]) if same == "hit" else [row] for (row, _), text in zip(captions, words)
        ]
        return cls(
            [text for _, text in captions],
            keys,
            clips_of,
            _turned(clips_of, len(found)),
            sum(len(owners[text]) > 1 for text in words),
        )


def _turned(clips_of: Sequence[Sequence[int]], clips: int) -> list[list[int]]:
    captions_of: list[list[int]] = [[] for _ in range(clips)]
    for caption, rows in enumerate(clips_of):
        for row in rows:
            captions_of[row].append(caption)
    return captions_of
