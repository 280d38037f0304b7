"""Render a synthetic world to a folder of MP4 files with captions, in the format read by `folder`."""

import concurrent.futures
import contextlib
import dataclasses
import json
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from prismlab.core import errors
from prismlab.core.io import filesystem, temporary_files
from prismlab.data import process_pool as workers_module
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
        for rows in _results(world, directory, tasks, workers):
            for caption_row, truth_row in rows:
                caption_file.write(caption_row + "\n")
                truth_file.write(truth_row + "\n")
            done += len(rows)
            if progress is not None:
                progress(done, len(world))


def _results(
    world: Renderable, directory: pathlib.Path, tasks: list[range], workers: int
) -> Iterator[list[tuple[str, str]]]:
    if workers == 0:
        for task in tasks:
            yield _render_some(world, directory, task)
        return
    # Spawn rather than fork: the caller may already have threads (JAX does).
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=workers_module.end_with_parent
    ) as pool:
        futures = [pool.submit(_render_some, world, directory, task) for task in tasks]
        try:
            for future in futures:
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _render_some(world: Renderable, directory: pathlib.Path, indices: range) -> list[tuple[str, str]]:
    rows = []
    for index in indices:
        name = f"{folder_module.VIDEOS}/{index:06d}.mp4"
        path = directory / name
        if not path.exists():
            filesystem.write_atomic(path, encode.encode(world.video(index), world.fps))
        truth, seconds = world.truth(index), world.frames * world.segments / world.fps
        caption = {"path": name, "caption": world.caption(index), "start": 0.0, "end": seconds}
        rows.append((json.dumps(caption), json.dumps({"path": name, **truth.labels()})))
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
