"""Files and captions named by a table: CSV, TSV, JSON lines or Parquet, one clip a row."""

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
    """A table whose rows name a file and a caption: a video, an image, or a folder of frames.

    Rows of one file should stand together: then the file is read once for all of them.

    Args:
        path: the table, path or URL; its ending tells its format: .csv, .tsv, .jsonl or .parquet.
        root: folder or URL that the paths of the rows start from; None for the table's own folder.
        path_column: column of the file's path.
        text_column: column of the caption.
        start_column: column of the first second; may be missing from the table, empty means the beginning.
        end_column: column of the second before which the clip ends; likewise.
        fps: frames per second of folders of frames; None leaves it open.
        rows_per_shard: rows that become one shard.
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
            raise errors.UserError(f"Table.rows_per_shard wants 1 or more, got {self.rows_per_shard}")
        if self.fps is not None and not self.fps > 0:
            raise errors.UserError(f"Table.fps wants more than 0, got {self.fps}")

    def units(self) -> Iterator[media.Unit]:
        """Yield groups of rows.

        Raises:
            UserError: a table that cannot be read, without the columns, or empty.
        """
        return media.grouped(self._entries(), self.rows_per_shard)

    def _entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        for number, row in rows.read(self.path, (self.path_column, self.text_column)):
            yield number, row
        if not number:
            raise media.Stop(f"{self.path}: wanted at least one row, got an empty table; add clips")

    def read(self, unit: media.Unit) -> Iterator[media.Medium]:
        """Yield the file of each run of rows that share one.

        Raises:
            UserError: a path that leads out of the root.
        """
        root = posixpath.dirname(self.path) or "." if self.root is None else self.root
        if urls.what(root) != "folder":
            raise media.Stop(f"{root}: wanted the folder that the table's paths start from, found none")
        for name, group in itertools.groupby(unit.entries, lambda entry: str(entry[1][self.path_column])):
            entries = list(group)
            # Every path is checked, also one that no clip will need: it tells of a wrong or hostile table.
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
