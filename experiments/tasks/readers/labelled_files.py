"""A user's own labelled videos: a table of paths and labels, or a folder for each class."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import file_names, filesystem, user_paths
from prismlab.data.corpus.inputs import rows
from prismlab.data.records import record
from prismlab.data.video import listing
from prismlab.data.video.containers import opening
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import clip_files


def split_of(name: str, test_share: float) -> str:
    """Return "test" for this share of names, else "train": by a hash, so that adding files moves no other."""
    return "test" if _place(name) < test_share else "train"


def splits(labels: Mapping[str, Collection[str]], test_share: float) -> dict[str, str]:
    """Return video -> "train" or "test", with every label in both where two videos or more have it.

    Args:
        labels: video -> its labels.
        test_share: see `split_of`, which decides; of a label that then lacks a split, the video whose hash is
            nearest to that split moves there.
    """
    found = {name: split_of(name, test_share) for name in labels}
    own: dict[str, list[str]] = {}
    for name in sorted(labels, key=_place):
        for label in labels[name]:
            own.setdefault(label, []).append(name)
    for wanted, nearest in (("test", 0), ("train", -1)):
        for _, names in sorted(own.items()):
            if len(names) > 1 and all(found[name] != wanted for name in names):
                found[names[nearest]] = wanted
    return found


def _place(name: str) -> float:
    """Return the hash of a name as a number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2.0**64


def load(item: items.Item) -> record.Record:
    """Read the video of an item into memory.

    Raises:
        UserError: the file is missing or larger than a record may be.
    """
    limit = opening.Limits().max_bytes
    data = filesystem.read(item.path, limit)
    return record.Record(item.key, data, item.key, start=item.start, end=item.end)


@dataclasses.dataclass(frozen=True)
class LabelledTable:
    """A CSV, TSV or JSONL table with the columns path and label, and optionally start, end and split.

    Args:
        table: path of the table. `label` may hold several labels, separated by `separator`.
        root: folder that paths are relative to; the table's own folder if "".
        separator: separates several labels of a clip (multi-label data); "" for one label a clip.
        test_share: share of the videos that is tested if there is no column `split` (train, val, test), see
            `splits`.
    """

    table: str
    root: str = ""
    separator: str = ""
    test_share: float = 0.25

    def __post_init__(self) -> None:
        _check_share(self.test_share)

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the table and of the sizes of its videos."""
        del cache
        table, root = user_paths.expand(self.table), self._root()
        paths = [
            file_names.join(root, str(row["path"]).strip())
            for _, row in rows.read(table, ("path", "label"))
            if not isinstance(row, str)
        ]
        return clip_files.digest_of((table,), paths)

    def _root(self) -> str:
        return user_paths.expand(self.root or os.path.dirname(self.table) or ".")

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of a split; classes are the sorted labels of the whole table."""
        del cache
        root = self._root()
        found, classes, bad, seen = [], set(), {}, set()
        for number, row in rows.read(user_paths.expand(self.table), ("path", "label")):
            where = f"{self.table}, row {number}"
            try:
                if isinstance(row, str):
                    raise errors.UserError(f"{where}: {row}")
                one = self._row(row, root, where)
                if one[0].key in seen:
                    raise errors.UserError(f"{where}: {one[0].key} occurs before")
            except errors.UserError as error:
                bad[f"row {number}"] = str(error)
                continue
            seen.add(one[0].key)
            classes |= set(one[1])
            found.append(one)
        names = tuple(sorted(classes))
        shown: dict[str, set[str]] = {}
        for item, labels, belongs in found:
            if not belongs:
                shown.setdefault(item.group, set()).update(labels)
        drawn = splits(shown, self.test_share)
        found = [(item, labels, belongs or drawn[item.group]) for item, labels, belongs in found]
        chosen = [
            dataclasses.replace(item, labels=tuple(sorted(names.index(label) for label in labels)))
            for item, labels, belongs in found
            if belongs == split
        ]
        notes: dict[str, Any] = (
            {"rows left out": f"{len(bad)} (first: {next(iter(bad.values()))})"} if bad else {}
        )
        _some(chosen, self.table, split, {belongs for _, _, belongs in found}, bad)
        return items.ItemSet(
            f"{os.path.basename(self.table)}/{split}", tuple(chosen), names, load, bool(self.separator), notes
        )

    def _row(self, row: Mapping[str, Any], root: str, where: str) -> tuple[items.Item, tuple[str, ...], str]:
        path, text = (
            str(row["path"] or "").strip(),
            str(row["label"] if row["label"] is not None else "").strip(),
        )
        labels = [each.strip() for each in text.split(self.separator)] if self.separator else [text]
        labels = sorted({each for each in labels if each})
        if not labels and not self.separator:
            raise errors.UserError(f"{where}: expected a label, found none")
        start, end = _seconds(row.get("start"), where, "start"), _seconds(row.get("end"), where, "end")
        if end is not None and end <= (start or 0.0):
            raise errors.UserError(f"{where}: expected end after start, got {start} to {end} seconds")
        split = str(row.get("split") or "").strip()
        if split and split not in items.SPLITS:
            raise errors.UserError(f"{where}: split must be one of {', '.join(items.SPLITS)}, got {split!r}")
        key = path if start is None and end is None else f"{path} {start}-{end}"
        item = items.Item(key, file_names.inside(root, path, where), start, end, group=path)
        return item, tuple(labels), split


@dataclasses.dataclass(frozen=True)
class LabelledFolder:
    """A folder for each class: `PATH/class/video.mp4`, or `PATH/split/class/video.mp4`.

    Args:
        path: the folder.
        test_share: share of the videos that is tested if there are no folders train and test.
    """

    path: str
    test_share: float = 0.25

    def __post_init__(self) -> None:
        _check_share(self.test_share)

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the names and sizes of the videos."""
        del cache
        return clip_files.digest((), self.path)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of a split; classes are the sorted names of the folders of all splits."""
        del cache
        root = user_paths.local(self.path)
        found = list(self._videos(root))
        if any(not belongs for _, _, belongs in found):
            drawn = splits({_below(path, root): {name} for path, name, _ in found}, self.test_share)
            found = [(path, name, drawn[_below(path, root)]) for path, name, _ in found]
        names = tuple(sorted({name for _, name, _ in found}))
        chosen = [
            items.Item(_below(path, root), str(path), labels=(names.index(name),))
            for path, name, belongs in found
            if belongs == split
        ]
        _some(chosen, self.path, split, {belongs for _, _, belongs in found}, {})
        return items.ItemSet(f"{root.name}/{split}", tuple(chosen), names, load)

    def _videos(self, root: pathlib.Path) -> Iterator[tuple[pathlib.Path, str, str]]:
        below = _folders(root)
        named = {each.name for each in below} & set(items.SPLITS)
        if named and named != {each.name for each in below}:
            raise errors.UserError(
                f"{root}: expected folders of classes, or folders {', '.join(items.SPLITS)} of classes; "
                f"found both ({', '.join(sorted(each.name for each in below)[:6])})"
            )
        for outer in below:
            for folder in _folders(outer) if named else [outer]:
                for path in sorted(folder.iterdir()):
                    if (
                        path.suffix.lower() in listing.SUFFIXES
                        and path.is_file()
                        and not path.name.startswith(".")
                    ):
                        yield path, folder.name, outer.name if named else ""


def _below(path: pathlib.Path, root: pathlib.Path) -> str:
    return path.relative_to(root).as_posix()


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
    if not root.is_dir():
        raise errors.UserError(f"{root}: expected a folder, found none; correct the path")
    return sorted(each for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise errors.UserError(f"test_share must be in (0, 1), got {share}")


def _seconds(value: Any, where: str, name: str) -> float | None:
    if value is None or str(value).strip() == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise errors.UserError(f"{where}: {name} must be a number of seconds, got {value!r}")
    return seconds


def _some(chosen: list, what: str, split: str, known: set[str], bad: Mapping[str, str]) -> None:
    if not chosen:
        first = f"; {len(bad)} rows left out, first: {next(iter(bad.values()))}" if bad else ""
        raise errors.UserError(
            f"{what}: no clips in split {split!r}; found {', '.join(sorted(known)) or 'nothing'}{first}; "
            "name the splits (a column split, folders train and test), or set the reader's test_share"
        )
