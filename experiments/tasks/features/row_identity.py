"""Identity of the clip of an item: equal identities mean equal pixels, whatever the task and its labels."""

import functools
import hashlib
import os
import posixpath
from collections.abc import Callable
from typing import Any

from prismlab.core import code_fingerprint, errors
from prismlab.core.io import file_names, filesystem
from prismlab.data.records import record
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import fingerprints
from prismlab.experiments.tasks.interface import items


def of(found: items.ItemSet) -> list[str]:
    """Return the identity of the clip of each item.

    A clip in a file of its own, or cut from one, is known by the path, size and time of change of the file,
    its start and end, and the code that loads it: content is not read. Any other clip (rendered, in shards)
    is known by the hash of its bytes. Names of items, labels and captions play no part.

    Args:
        found: the items.

    Returns:
        32 hex digits for each item. A clip that cannot be found has an identity of its own.
    """
    loading = _code(found.load)
    file = functools.lru_cache(maxsize=8)(_file)  # windows of one long video follow each other
    facts = (_facts(found, item, loading, file) for item in found.items)
    return [hashlib.sha256(repr(each).encode()).hexdigest()[:32] for each in facts]


def _facts(
    found: items.ItemSet, item: items.Item, loading: str, file: Callable[[str], tuple[Any, ...]]
) -> tuple[Any, ...]:
    try:
        if item.path:
            span = tuple((name, item.extra.get(name)) for name in ("frames", "fps"))
            return "file", file(item.path), item.start, item.end, span, loading
        clip = found.load(item)
    except (errors.UserError, OSError) as error:
        return "missing", item.key, item.path, str(error)
    return "bytes", *_bytes(clip)


def _bytes(clip: record.Record) -> tuple[Any, ...]:
    content = hashlib.sha256(clip.video).hexdigest()
    return content, clip.kind, tuple(clip.sizes), clip.start, clip.end, clip.fps, clip.frame_count


def _file(path: str) -> tuple[Any, ...]:
    if filesystem.file_type(path) == "folder":
        _, names = next(file_names.walk(path))
        inside = [(name, *filesystem.size_and_version(posixpath.join(path, name))) for name in names]
        return os.path.abspath(path), tuple(inside)
    place = path if filesystem.is_remote(path) else os.path.abspath(path)
    return place, *filesystem.size_and_version(path)


def _code(load: Callable[..., Any]) -> str:
    while isinstance(load, functools.partial):
        load = load.func
    name = getattr(load, "__module__", None) or type(load).__module__
    return describe.address(code_fingerprint.closure([name], fingerprints.WATCHING))
