"""Render a synthetic world to a folder of MP4 files with captions, in the format read by `folder`."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from prismlab.core import errors
from prismlab.core.io import filesystem, temporary_files
from prismlab.data import process_pool
from prismlab.data.records import record as record_module
from prismlab.data.video import encode
from prismlab.data.video import folder as folder_module

WORLD = "world.json"
_CLIPS_A_TASK = 32


@runtime_checkable
class Renderable(Protocol):
    """Interface of a world; implementations are frozen dataclasses with plain fields.

    A clip has `frames * segments` frames, `fps` in a second.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def frames(self) -> int:
        """Frames of a segment."""
        ...

    @property
    def segments(self) -> int:
        """Segments of a clip."""
        ...

    @property
    def fps(self) -> int:
        """Frames per second."""
        ...

    def __len__(self) -> int:
        """Number of clips."""
        ...

    def video(self, index: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Render a clip."""
        ...

    def truth(self, index: int) -> Any:
        """Return the ground truth of a clip; its `labels()` are JSON-serializable values by name."""
        ...

    def caption(self, index: int) -> str:
        """Return the caption of a clip."""
        ...


def render(
    world: Renderable,
    directory: str | os.PathLike[str],
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render all clips of a world and write videos/000000.mp4 ..., captions.jsonl and truth.jsonl.

    Files are written atomically, captions.jsonl last, so an interrupted call can be resumed by calling again;
    finished videos are kept. Workers are spawned processes, so scripts must call this under
    `if __name__ == "__main__"`.

    Args:
        world: world to render.
        directory: created if missing; must be empty or contain (part of) the same world.
        workers: number of processes; 0 renders in the calling process.
        progress: called with (finished clips, total clips) during rendering.

    Raises:
        errors.UserError: if the directory contains a different world or other videos.
    """
    directory = pathlib.Path(directory)
    (directory / folder_module.VIDEOS).mkdir(parents=True, exist_ok=True)
    _claim(world, directory)
    for folder in (directory, directory / folder_module.VIDEOS):
        temporary_files.remove_unfinished(folder)
    tasks = [
        range(start, min(start + _CLIPS_A_TASK, len(world))) for start in range(0, len(world), _CLIPS_A_TASK)
    ]
    names = (folder_module.CAPTIONS, folder_module.TRUTH)
    with contextlib.ExitStack() as stack:
        caption_file, truth_file = (
            stack.enter_context(
                stack.enter_context(filesystem.atomic_file(directory / name)).open("w", encoding="utf-8")
            )
            for name in names
        )
        done = 0
        work = functools.partial(_render_some, world, directory)
        for rows in process_pool.in_order(work, tasks, workers):
            for caption_row, truth_row in rows:
                caption_file.write(caption_row + "\n")
                truth_file.write(truth_row + "\n")
            done += len(rows)
            if progress is not None:
                progress(done, len(world))


def records(
    directory: str | os.PathLike[str], *, workers: int = 2, keep_frames: bool = True
) -> Iterator[record_module.Record]:
    """Read a rendered folder in parallel as records, in order.

    Args:
        directory: output of `render`.
        workers: number of processes; 0 reads in the calling process.
        keep_frames: give each record its `decoded` frames.

    Raises:
        errors.UserError: a file is missing or damaged.
    """
    rows = folder_module.checked_rows(directory)
    tasks = [rows[start : start + _CLIPS_A_TASK] for start in range(0, len(rows), _CLIPS_A_TASK)]
    work = functools.partial(_read_some, directory, keep_frames)
    for found in process_pool.in_order(work, tasks, workers):
        yield from found


def _read_some(
    directory: str | os.PathLike[str], keep_frames: bool, rows: Sequence[folder_module.Row]
) -> list[record_module.Record]:
    return list(folder_module.records(directory, rows, keep_frames=keep_frames))


def _render_some(world: Renderable, directory: pathlib.Path, indices: range) -> list[tuple[str, str]]:
    rows, made = [], {}
    for index in indices:
        name = f"{folder_module.VIDEOS}/{index:06d}.mp4"
        path = directory / name
        if not path.exists():
            made[path] = encode.encode(world.video(index), world.fps)
        truth, seconds = world.truth(index), world.frames * world.segments / world.fps
        caption = {"path": name, "caption": world.caption(index), "start": 0.0, "end": seconds}
        rows.append((json.dumps(caption), json.dumps({"path": name, **truth.labels()})))
    temporary_files.write_together(made)
    return rows


def _claim(world: Renderable, directory: pathlib.Path) -> None:
    """Write world.json to the folder, or raise if the folder belongs to a different world."""
    path = directory / WORLD
    fields = json.loads(json.dumps(dataclasses.asdict(world)))
    if path.exists():
        found = json.loads(path.read_bytes())
        if found == fields:
            return
        differ = sorted(name for name in fields | found if fields.get(name) != found.get(name))
        raise errors.UserError(
            f"{directory}: expected an empty folder or the same world, got one that differs in "
            f"{', '.join(differ)}; choose another folder or delete this one"
        )
    if any((directory / folder_module.VIDEOS).iterdir()) or (directory / folder_module.CAPTIONS).exists():
        raise errors.UserError(
            f"{directory}: expected an empty folder, got other videos; choose another folder"
        )
    filesystem.write_atomic(path, json.dumps(fields, indent=2).encode())
