"""What readers of captions share: empty and repeated captions are counted, never silently kept or dropped."""

import collections
from collections.abc import Iterable, Sequence
from typing import Any

from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, item_sets


def kept(texts: Any, found: item_sets.Collector, where: str) -> tuple[str, ...]:
    """Return the captions of a clip that are text, with single blanks; others are counted.

    Args:
        texts: the captions of one clip, as the file has them.
        found: counts what is left out.
        where: where the clip is in the file.
    """
    good = []
    for text in texts if isinstance(texts, list | tuple) else [texts]:
        plain = " ".join(text.split()) if isinstance(text, str) else ""
        if plain:
            good.append(plain)
        else:
            found.skip("empty caption", where)
    return tuple(good)


def repeated(chosen: Iterable[items.Item]) -> dict[str, Any]:
    """Return a note on captions that several clips have: for such a query more than one clip is right."""
    clips: dict[str, set[str]] = collections.defaultdict(set)
    for item in chosen:
        for text in item.texts:
            clips[text].add(item.key)
    several = [keys for keys in clips.values() if len(keys) > 1]
    if not several:
        return {}
    count = len(set().union(*several))
    return {"repeated captions": f"{len(several)} captions belong to several clips, {count} clips in all"}


def listed(path: str, found: item_sets.Collector, known: Sequence[str]) -> set[str] | None:
    """Return the ids of a list that choose a part of a split, or None without a list.

    Args:
        path: JSON list of ids, or a text file with one a line; "" for all.
        found: counts ids that the annotations do not have.
        known: ids of the annotations.
    """
    if not path:
        return None
    if path.lower().endswith(".json"):
        ids = [(f"entry {i}", each) for i, each in enumerate(annotation_files.json_of(path, list, "ids"), 1)]
    else:
        ids = list(annotation_files.lines(path))
    present, chosen = set(known), set()
    for where, each in ids:
        if isinstance(each, str) and each in present:
            chosen.add(each)
        else:
            found.skip("listed id without annotation", f"{where}: {str(each)[:40]}")
    return chosen
