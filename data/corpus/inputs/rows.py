"""Stream the rows of a table file: CSV, TSV, JSON lines or Parquet."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.data.corpus.inputs import file_kinds, labels, media

_MOST_SIGNS = 1 << 22  # maximum characters per field, bytes per line
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


def read(path: str, wanted: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield (row number from 1, row) of a table, or what is wrong with a single row.

    Args:
        path: path or URL; the extension selects the format.
        wanted: required columns.

    Raises:
        Stop: unsupported format, missing file, text that is not UTF-8, missing column, row with the wrong
            number of fields, or a Parquet file without pyarrow installed.
    """
    ending = file_kinds.suffix(path)
    if ending not in FORMATS:
        raise media.Stop(f"{path}: expected a table that ends in {', '.join(FORMATS)}; rename or convert it")
    if filesystem.file_type(path) != "file":
        raise media.Stop(f"{path}: expected a table, found no such file; correct the path")
    found = {".jsonl": _json, ".parquet": _parquet}.get(ending, _separated)(path, wanted)
    for number, row in enumerate(found, 1):
        try:
            labels.check_depth(row)  # a deeper row could not be copied to a worker
        except ValueError as error:
            row = str(error)
        yield number, row


def _separated(path: str, wanted: tuple[str, ...]) -> Iterator[dict[str, Any] | str]:
    csv.field_size_limit(_MOST_SIGNS)
    with io.TextIOWrapper(filesystem.open_binary(path), "utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter="\t" if path.lower().endswith(".tsv") else ",", strict=True)
        line = 1
        try:
            header = next(reader, [])
            _columns(path, header, wanted)
            line = reader.line_num + 1
            for fields in reader:
                if not fields:
                    line = reader.line_num + 1
                    continue
                if len(fields) != len(header):
                    raise media.Stop(
                        f"{path}, line {line}: expected {len(header)} fields as in the first line, got "
                        f"{len(fields)}; quote fields that contain separators or newlines"
                    )
                line = reader.line_num + 1
                yield dict(zip(header, fields))
        except UnicodeDecodeError as error:
            raise _encoding(path, line, error) from error
        except csv.Error as error:
            raise media.Stop(f"{path}, line {line}: expected a row of a table, got '{error}'") from error


def _json(path: str, wanted: tuple[str, ...]) -> Iterator[dict[str, Any] | str]:
    with filesystem.open_binary(path) as file:
        number = 0
        while line := file.readline(_MOST_SIGNS):
            number += 1
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise _encoding(path, number, error) from error
            except json.JSONDecodeError as error:
                raise media.Stop(f"{path}, line {number}: expected one JSON object, got '{error}'") from error
            except (ValueError, RecursionError) as error:  # a number of too many digits, or deep nesting
                yield f"expected values that can be read, got '{error}'"
                continue
            if not isinstance(row, dict):
                raise media.Stop(f"{path}, line {number}: expected one JSON object, got {str(row)[:60]}")
            _columns(f"{path}, line {number}", list(row), wanted)
            yield row


def _parquet(path: str, wanted: tuple[str, ...]) -> Iterator[dict[str, Any] | str]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise media.Stop(
            f"{path}: reading Parquet requires pyarrow: {errors.install_extra('parquet')}, or convert to .csv"
        ) from error
    with filesystem.open_binary(path) as file:
        try:
            table = pyarrow.parquet.ParquetFile(file)
            _columns(path, table.schema_arrow.names, wanted)
            for batch in table.iter_batches(1024):
                yield from batch.to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise media.Stop(
                f"{path}: expected a Parquet file, got '{str(error).splitlines()[0]}'"
            ) from error


def _columns(path: str, found: list[str], wanted: tuple[str, ...]) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        got = ", ".join(map(repr, found[:20])) or "none"
        raise media.Stop(
            f"{path}: expected columns {', '.join(wanted)}, got {got}; add {', '.join(missing)}, or set the "
            "column names in the spec (Table.path_column, Table.text_column)"
        )
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise media.Stop(f"{path}: expected unique column names, got {', '.join(twice)} twice")


def _encoding(path: str, line: int, error: UnicodeDecodeError) -> media.Stop:
    byte = error.object[error.start]
    return media.Stop(
        f"{path}, at or after line {line}: expected UTF-8, got the byte 0x{byte:02x}; save the table as UTF-8"
    )
