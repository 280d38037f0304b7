"""Read annotation files of unknown origin: JSON, tables and lines, bounded in bytes and rows, never pickled.

A file that is not what it should be is one UserError; a row that is wrong by itself is yielded as its fault,
so that readers count it and continue.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json, file_names, filesystem, user_paths

MOST_BYTES = 1 << 30
MOST_ROWS = 5_000_000
MOST_SIGNS = 1 << 22  # characters of a field or line
_DEEPEST = 64  # levels of nesting
# Formats whose official readers run code that the file contains, by suffix and by first bytes.
_PICKLED = (".npy", ".npz", ".pkl", ".pickle", ".pt", ".pth", ".joblib")
_PICKLED_HEADS = (b"\x93NUMPY", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def content(path: str, limit: int = MOST_BYTES) -> bytes:
    """Return the bytes of an annotation file.

    Raises:
        UserError: the file is missing or too large, or its format can run code (.npy of objects, pickles).
    """
    path = user_paths.expand(path)
    if filesystem.file_type(path) != "file":
        raise errors.UserError(f"{path}: expected an annotation file, found none; correct the path")
    data = b"" if path.lower().endswith(_PICKLED) else filesystem.read(path, limit)
    if path.lower().endswith(_PICKLED) or data.startswith(_PICKLED_HEADS):
        raise errors.UserError(
            f"{path}: reading this format unpickles, which runs any code that the file contains; give the "
            "JSON, CSV or text file of the official release, or convert it where you trust the file (for "
            "example json.dump(numpy.load(file, allow_pickle=True).item(), out))"
        )
    return data


def below(folder: str) -> dict[str, str]:
    """Return name below a folder -> path of the file."""
    home = user_paths.expand(folder)
    return {name: file_names.join(home, name) for name in file_names.list_files(home)}


def text(path: str, limit: int = MOST_BYTES) -> str:
    """Return a file as text; UTF-8, with or without a byte order mark."""
    try:
        return content(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = error.object[error.start]
        raise errors.UserError(f"{path}: expected UTF-8, found the byte 0x{found:02x}; convert it") from None


def json_of(path: str, kind: type, what: str, *, limit: int = MOST_BYTES) -> Any:
    """Return the value of a JSON file.

    Args:
        path: the file.
        kind: dict or list, the type of its top level.
        what: what the file should be, for messages.
        limit: maximum size in bytes.

    Raises:
        UserError: it is no JSON of this type, or is nested too deeply.
    """
    try:
        value: Any = json.loads(text(path, limit))
        checked_json.check_depth(value, _DEEPEST)
    except RecursionError:
        raise errors.UserError(f"{path}: expected {what}, found JSON that is nested too deeply") from None
    except errors.UserError:
        raise
    except ValueError as error:
        reason = " ".join(str(error).split())[:120]
        raise errors.UserError(f"{path}: expected {what}, found no JSON ({reason})") from None
    if not isinstance(value, dict | list) or not isinstance(value, kind):
        raise errors.UserError(
            f"{path}: expected {what} (a JSON {_SHAPES[kind]}), found {type(value).__name__}; is this the "
            "file of another data set or version?"
        )
    if len(value) > MOST_ROWS:
        raise errors.UserError(f"{path}: expected at most {MOST_ROWS} entries, found {len(value)}")
    return value


_SHAPES: dict[type, str] = {dict: "object", list: "list"}


def table(
    path: str, columns: Sequence[str], what: str, *, separator: str = ",", advice: str = ""
) -> Iterator[tuple[str, dict[str, str] | str]]:
    """Yield (name of the row, its columns, or what is wrong with it) of a table with a header line.

    Args:
        path: the file.
        columns: columns that must be there.
        what: what the file should be, for messages.
        separator: between columns.
        advice: what the user can do if a column is missing.

    Raises:
        UserError: the file is no such table, or has too many rows.
    """
    found = fields(path, what, separator=separator)
    _, header = next(found, ("", []))
    missing = [name for name in columns if name not in header]
    if missing:
        raise errors.UserError(
            f"{path}: expected {what} with the columns {', '.join(columns)}, found "
            f"{', '.join(map(_short, header[:8])) or 'nothing'}; "
            + (advice or "is this the file of another data set or version?")
        )
    for where, row in found:
        if len(row) != len(header):
            yield where, f"expected {len(header)} columns, found {len(row)}"
        else:
            yield where, dict(zip(header, row))


def fields(path: str, what: str, *, separator: str = ",") -> Iterator[tuple[str, list[str]]]:
    """Yield (name of the row, its fields) of a table; empty lines are skipped."""
    csv.field_size_limit(MOST_SIGNS)
    reader = csv.reader(io.StringIO(text(path), newline=""), delimiter=separator, strict=True)
    number = 0
    try:
        for row in reader:
            if not row:
                continue
            number += 1
            if number > MOST_ROWS:
                raise errors.UserError(f"{path}: expected at most {MOST_ROWS} rows, found more")
            yield f"line {reader.line_num}", row
    except csv.Error as error:
        raise errors.UserError(
            f"{path}, line {reader.line_num}: expected a row of {what}, found '{error}'"
        ) from None


def lines(path: str) -> Iterator[tuple[str, str]]:
    """Yield (name of the line, its text without spaces around it) of each line that is not empty."""
    for number, line in enumerate(text(path).splitlines(), 1):
        if number > MOST_ROWS:
            raise errors.UserError(f"{path}: expected at most {MOST_ROWS} lines, found more")
        if line.strip():
            yield f"line {number}", line.strip()


def number(value: Any) -> float | None:
    """Return a finite number from 0 to 1e9 from text or a number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and "_" in value:  # Python reads "9_0" as 90
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if 0.0 <= found <= 1e9 else None


def whole(value: Any) -> int | None:
    """Return a whole number from 0 to 1e9 from text or a number; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def _short(value: str) -> str:
    return repr(value if len(value) <= 30 else value[:27] + "...")
