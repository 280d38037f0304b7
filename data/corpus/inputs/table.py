"""Reader of a table with one clip per row (file and caption): CSV, TSV, JSON lines or Parquet."""

import dataclasses
import functools
import itertools
import posixpath
from collections.abc import Iterator
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem, user_paths
from prismlab.data.corpus.inputs import file_kinds, labels, media, rows, timestamps

# A row number and the row, or what is wrong with it.
_Entry = tuple[int, dict[str, Any] | str]


@dataclasses.dataclass(frozen=True)
class Table:
    """Table of clips; each row has the path of a video, image or folder of frames, and a caption.

    Keep rows of the same file adjacent, so that the file is read once for all of them.

    Args:
        path: path or URL of the table; the extension selects the format: .csv, .tsv, .jsonl or .parquet.
        root: folder or URL that the paths in the rows are relative to; None for the table's folder.
        path_column: column with the path of the file.
        text_column: column with the caption; None for clips without captions, which train no loss of texts.
        start_column: optional column with the start of the clip in seconds; empty for the start of the file.
        end_column: optional column with the end of the clip in seconds (exclusive); empty for the end.
        fps: frames per second of folders of frames; None if unknown.
        rows_per_shard: rows per shard.
    """

    path: str
    root: str | None = None
    path_column: str = "path"
    text_column: str | None = "text"
    start_column: str = "start"
    end_column: str = "end"
    fps: float | None = None
    rows_per_shard: int = 1000

    def __post_init__(self) -> None:
        if self.rows_per_shard < 1:
            raise errors.UserError(f"expected Table.rows_per_shard of 1 or more, got {self.rows_per_shard}")
        if self.fps is not None and not self.fps > 0:
            raise errors.UserError(f"expected Table.fps > 0, got {self.fps}")

    def units(self) -> Iterator[media.Unit]:
        """Yield groups of rows.

        Raises:
            UserError: the table cannot be read, lacks columns or is empty.
        """
        return media.grouped(self._entries(), self.rows_per_shard)

    def passed_over(self) -> Iterator[media.PassedOver]:
        """Yield nothing: the table lists what is used."""
        return iter(())

    def _entries(self) -> Iterator[_Entry]:
        number = 0
        wanted = (self.path_column, *self._texts())
        for number, row in rows.read(user_paths.expand(self.path), wanted):
            yield number, row
        if not number:
            raise media.Stop(f"{self.path}: expected at least one row, got an empty table; add clips")

    def _texts(self) -> tuple[str, ...]:
        return () if self.text_column is None else (self.text_column,)

    def read(self, unit: media.Unit) -> Iterator[media.Medium]:
        """Return one medium per group of consecutive rows with the same file.

        Raises:
            UserError: a path outside of the root.
        """
        root = self.root if self.root is not None else posixpath.dirname(self.path) or "."
        root = user_paths.expand(root)
        if filesystem.file_type(root) != "folder":
            raise media.Stop(
                f"{root}: expected the root folder of the table's paths, found none; set Table.root"
            )
        groups = ((name, list(group)) for name, group in itertools.groupby(unit.entries, self._name))
        return media.isolated(groups, self._keys, functools.partial(self._medium, root))

    def _name(self, entry: _Entry) -> str | None:
        """Return the path in a row, or None if it has none that a file can have."""
        path = None if isinstance(entry[1], str) else entry[1][self.path_column]
        return path if isinstance(path, str) and path and "\0" not in path else None

    def _keys(self, group: tuple[str | None, list[_Entry]]) -> list[str]:
        return [f"{group[0] or posixpath.basename(self.path)}#{number}" for number, _ in group[1]]

    def _medium(self, root: str, group: tuple[str | None, list[_Entry]]) -> media.Medium:
        name, entries = group
        where = f"{self.path}, row {entries[0][0]}"
        if name is None:
            row = entries[0][1]
            found = row if isinstance(row, str) else f"expected the path of a file in {self.path_column!r}"
            raise errors.UserError(f"{where}: {found}")
        keys = self._keys(group)
        cuts = tuple(self._cut(key, entry[1]) for key, entry in zip(keys, entries))
        try:
            return file_kinds.medium(root, name, cuts, self.fps, where=where)
        except errors.UserError as error:
            # A path out of the root: the table is wrong or malicious.
            raise media.Stop(str(error)) from error

    def _cut(self, key: str, row: dict[str, Any] | str) -> media.Cut:
        assert not isinstance(row, str), "a row with a path"
        own = {self.path_column, self.start_column, self.end_column}
        times = list[float | None]()
        for column in (self.start_column, self.end_column):
            try:
                times.append(timestamps.seconds(row.get(column)))
            except ValueError as error:
                return media.Cut(key, "", fault=f"{column}: {error}")
        try:
            caption, found = labels.read(
                {name: value for name, value in row.items() if name not in own}, self._texts()
            )
        except ValueError as error:
            return media.Cut(key, "", fault=media.reason(error))
        return media.Cut(key, caption if self._texts() else None, times[0], times[1], found)
