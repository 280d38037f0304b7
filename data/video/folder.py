"""Read a folder of videos with captions (captions.jsonl) as records.

Each line of captions.jsonl is {"path": "videos/a.mp4", "caption": "...", "start": 0.0, "end": 2.5}; start and
end (seconds) are optional. An optional truth.jsonl next to it holds labels: {"path": ..., any JSON}.
"""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import file_names
from prismlab.data.records import record as record_module
from prismlab.data.video import decode, frames
from prismlab.data.video.containers import container

VIDEOS = "videos"
CAPTIONS = "captions.jsonl"
TRUTH = "truth.jsonl"
_FIELDS = {"path", "caption", "start", "end"}
_MOST_FAULTS = 20


def read_folder(
    directory: str | os.PathLike[str],
    *,
    min_frames: int = 1,
    limits: decode.Limits = decode.DEFAULT_LIMITS,
) -> Iterator[record_module.Record]:
    """Read and validate a folder of captioned videos.

    All rows of captions.jsonl are validated before the first record is yielded; videos are decoded and
    checked one row at a time.

    Args:
        directory: folder that contains captions.jsonl.
        min_frames: minimum number of frames between start and end, 1 or more.
        limits: limits on each video.

    Yields:
        One record per row, in the order of captions.jsonl. The key is the row's path, followed by "#line" if
        several rows use the same file.

    Raises:
        errors.UserError: with file and line, if text is not UTF-8 or JSON, fields are unknown or missing, a
            caption is empty, a path is outside the folder, a video is missing, empty, unreadable or
            truncated, or a clip has fewer than min_frames frames.
    """
    return records(directory, checked_rows(directory), min_frames=min_frames, limits=limits)


@dataclasses.dataclass(frozen=True)
class Row:
    """One checked line of captions.jsonl.

    Args:
        line: number of the line, from 1.
        key: key of the record.
        path: the video, relative to the folder.
        caption: the caption.
        start: seconds, or None for the beginning.
        end: seconds, or None for the end.
        labels: the video's labels in truth.jsonl.
    """

    line: int
    key: str
    path: str
    caption: str
    start: float | None
    end: float | None
    labels: dict[str, Any]


def records(
    directory: str | os.PathLike[str],
    rows: Sequence[Row],
    *,
    min_frames: int = 1,
    limits: decode.Limits = decode.DEFAULT_LIMITS,
    keep_frames: bool = False,
) -> Iterator[record_module.Record]:
    """Decode and check the videos of rows; see `read_folder`.

    Args:
        directory: the folder.
        rows: rows of `checked_rows`.
        min_frames: see `read_folder`.
        limits: see `read_folder`.
        keep_frames: give each record its `decoded` frames.
    """
    directory = pathlib.Path(directory)
    for row in rows:
        where = f"{directory / CAPTIONS}, line {row.line}: {row.path}"
        size = (directory / row.path).stat().st_size
        if size > limits.max_bytes:
            raise errors.UserError(
                f"{where}: expected at most {limits.max_bytes} bytes, got {size}; split the video"
            )
        record = record_module.Record(
            key=row.key, video=(directory / row.path).read_bytes(), caption=row.caption, start=row.start,
            end=row.end, labels=row.labels,
        )  # fmt: skip
        if keep_frames:
            pixels = frames.decode(record, limits=limits, name=where)
            record, count = record.keeping(pixels), len(pixels)
        else:
            times = decode.frame_times(record.video, limits=limits, name=where)
            first, last = container.inside(times, row.start, row.end)
            count = last - first
        if count < min_frames:
            raise errors.UserError(
                f"{where}: expected {min_frames} frames or more, got {count}; "
                "drop the clip, lengthen it, or request fewer frames"
            )
        yield dataclasses.replace(record, frame_count=count)


def _lines(path: pathlib.Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                raise errors.UserError(
                    f"{path}, line {number}: expected one JSON object in UTF-8, got '{error}'; correct it"
                ) from error
            if not isinstance(row, dict) or not isinstance(row.get("path"), str):
                raise errors.UserError(
                    f'{path}, line {number}: expected a JSON object with a "path", got {str(row)[:60]}; '
                    "correct the line"
                )
            yield number, row


def checked_rows(directory: str | os.PathLike[str]) -> list[Row]:
    """Read captions.jsonl and truth.jsonl, and check every row but not the videos' contents.

    Args:
        directory: folder that contains captions.jsonl.

    Raises:
        errors.UserError: see `read_folder`.
    """
    directory = pathlib.Path(directory)
    path = directory / CAPTIONS
    if not path.is_file():
        raise errors.UserError(
            f"{path}: expected one line of JSON per clip, found no such file; correct the path"
        )
    rows, faults = list(_lines(path)), []
    for line, row in rows:
        fault = _fault(directory, row)
        if fault is not None:
            faults.append(f"{path}, line {line}: {fault}")
    if not rows:
        faults.append(f"{path}: expected at least one line, got an empty file; add clips")
    if len(faults) > _MOST_FAULTS:
        faults = [*faults[:_MOST_FAULTS], f"{path}: and {len(faults) - _MOST_FAULTS} more errors"]
    if faults:
        raise errors.UserError("\n".join(faults))
    labels = _labels(directory)
    counts = collections.Counter(row["path"] for _, row in rows)
    return [
        Row(
            line, f"{row['path']}#{line}" if counts[row["path"]] > 1 else row["path"], row["path"],
            row["caption"], row.get("start"), row.get("end"), labels.get(row["path"], {}),
        )
        for line, row in rows
    ]  # fmt: skip


def _fault(directory: pathlib.Path, row: dict[str, Any]) -> str | None:
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        return f"expected only {sorted(_FIELDS)}, got {unknown}; move other values to {TRUTH}"
    path = row["path"]
    shown = repr(path[:200])
    try:
        file_names.inside(str(directory), path, CAPTIONS)
        if not (directory / path).is_file():
            return f"expected the video {shown}, found none; add it or remove the line"
    except (errors.UserError, OSError, ValueError):  # also names that are too long or no text for the system
        return f"expected a path inside the folder, got {shown}; move the video into the folder"
    found = record_module.text_faults(path, row.get("caption", ""), row.get("start"), row.get("end"))
    try:
        row.get("caption", "").encode()
    except (AttributeError, UnicodeEncodeError) as error:
        found = found or [f"a caption that UTF-8 can encode, got {error}"]
    if found:
        return " and ".join(f"record {path!r}: expected {each}" for each in found) + "; correct the line"
    return None


def _labels(directory: pathlib.Path) -> dict[str, dict[str, Any]]:
    path = directory / TRUTH
    if not path.exists():
        return {}
    return {row.pop("path"): row for _, row in _lines(path)}
