"""Reader of a table with one clip per row (file and caption): CSV, TSV, JSON lines or Parquet."""

import dataclasses
import itertools
import json
import posixpath
from collections.abc import Iterator
from typing import Any

from prismlab.core import errors
from prismlab.core.io import urls
from prismlab.data.corpus.inputs import file_kinds, media, rows, timestamps


@dataclasses.dataclass(frozen=True)
class Table:
    """Table of clips; each row has the path of a video, image or folder of frames, and a caption.

    Keep rows of the same file adjacent, so that the file is read once for all of them.

    Args:
        path: path or URL of the table; the extension selects the format: .csv, .tsv, .jsonl or .parquet.
        root: folder or URL that the paths in the rows are relative to; None for the table's folder.
        path_column: column with the path of the file.
        text_column: column with the caption.
        start_column: optional column with the start of the clip in seconds; empty for the start of the file.
        end_column: optional column with the end of the clip in seconds (exclusive); empty for the end.
        fps: frames per second of folders of frames; None if unknown.
        rows_per_shard: rows per shard.
    """

    path: str
    root: str | None = None
    path_column: str = "path"
    text_column: str = "text"
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

    def _entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        for number, row in rows.read(self.path, (self.path_column, self.text_column)):
            yield number, row
        if not number:
            raise media.Stop(f"{self.path}: expected at least one row, got an empty table; add clips")

    def read(self, unit: media.Unit) -> Iterator[media.Medium]:
        """Yield one medium per group of consecutive rows with the same file.

        Raises:
            UserError: a path outside of the root.
        """
        root = posixpath.dirname(self.path) or "." if self.root is None else self.root
        if urls.what(root) != "folder":
            raise media.Stop(
                f"{root}: expected the root folder of the table's paths, found none; set Table.root"
            )
        for name, group in itertools.groupby(unit.entries, lambda entry: str(entry[1][self.path_column])):
            entries = list(group)
            # Check every path, even of clips with errors, to detect a wrong or malicious table.
            try:
                path = urls.inside(root, name, f"{self.path}, row {entries[0][0]}")
            except errors.UserError as error:
                raise media.Stop(str(error)) from error
            yield file_kinds.medium(path, name, tuple(self._cut(name, *entry) for entry in entries), self.fps)

    def _cut(self, name: str, number: int, row: dict[str, Any]) -> media.Cut:
        own = {self.path_column, self.text_column, self.start_column, self.end_column}
        labels = {column: value for column, value in row.items() if column not in own and value is not None}
        times: list[float | None] = []
        fault = ""
        for column in (self.start_column, self.end_column):
            try:
                times.append(timestamps.seconds(row.get(column)))
            except ValueError as error:
                times.append(None)
                fault = f"{column}: {error}"
        text = row[self.text_column]
        caption = text if isinstance(text, str) else "" if text is None else json.dumps(text)
        return media.Cut(f"{name}#{number}", caption, times[0], times[1], labels, fault)
