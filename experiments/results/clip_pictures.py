"""Pictures for the page: what the student of each stage saw, and the clips on which claimed rows disagree.

They are drawn at the end of a run, when the recipe is loaded; `prismlab report` only shows what was drawn,
so that it needs neither the recipe nor the data.
"""

import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.data.records import record
from prismlab.data.video import frames as video_frames
from prismlab.experiments.cost import step_flops
from prismlab.experiments.recipe import task_interface
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.report import disagreement, page_facts
from prismlab.experiments.results import gather, page_pictures, step_picture
from prismlab.experiments.store import store

WORTH_STEPS = 100  # pictures take some seconds, which a shorter training is not worth
_EXAMPLES, _FRAMES, _SIDE, _GAP = 3, 8, 64, 2


def draw(
    found: gather.Gathered,
    lines: Sequence[stages.Line],
    kept: store.Store,
    cache: Path,
    say: Callable[[str], None],
) -> None:
    """Draw the pictures that are missing; one that cannot be drawn is reported and left out.

    Args:
        found: the table and what it was built from.
        lines: rows and seeds of the run.
        kept: the store of the work directory.
        cache: directory shared by runs.
        say: prints one line.
    """
    first = {line.label: line for line in reversed(lines)}  # of each row, the first seed
    try:
        for line in first.values():
            for planned in line.stages:
                _draw_seen(planned, kept.stage_folder(planned.address, planned.folder), cache)
        for each in disagreement.of(found.table, found.items):
            if each.row in first and first[each.row].stages[-1].stage.steps >= WORTH_STEPS:
                _draw_clips(each, first[each.row], kept.workdir, cache)
    except errors.UserError as error:
        say(f"pictures of clips are missing on the page: {error}")


def _draw_seen(planned: stages.Planned, folder: filesystem.Path, cache: Path) -> None:
    stage = planned.stage
    masked = "core.train.masking." in json.dumps(planned.inputs["configuration"]["objectives"])
    if not masked or stage.steps < WORTH_STEPS or (folder / page_pictures.SEEN).exists():
        return
    built = step_flops.learners(planned)[stage.name]
    tower: Any = built.towers["video"]
    batch, _ = stage.data.open(stage.batch_size, stage.steps, planned.seed, planned.position, cache).seen(0)
    masks = step_picture.masks_of(
        [view for view in built.views() if not view.teacher], position=planned.position, seed=planned.seed,
        step=0, batch=stage.batch_size, frames=batch["video"].shape[1], patches=tower.patches,
    )  # fmt: skip
    shown = {name: grid[:_EXAMPLES] for name, grid in masks.items()}
    picture = step_picture.draw(batch["video"][:_EXAMPLES], shown, tower.patch, [""] * _EXAMPLES)
    filesystem.write_atomic(folder / page_pictures.SEEN, _encoded(picture))


def _draw_clips(
    each: page_facts.Disagreements, line: stages.Line, workdir: filesystem.Path, cache: Path
) -> None:
    wanted = {
        clip.key
        for clip in (*each.gained, *each.lost)
        if not page_pictures.of_clip(workdir, clip.key).exists()
    }
    for evaluation in line.evaluations:
        task = evaluation.task
        own = each.metric.removeprefix(f"{evaluation.name}: ")  # of two tasks with one metric, the later
        if wanted and isinstance(task, task_interface.NamesMetrics) and own in task.metric_names():
            for one in _records(task, wanted, cache):
                filesystem.write_atomic(page_pictures.of_clip(workdir, one.key), _encoded(_strip(one)))
                wanted.discard(one.key)


def _records(task: Any, wanted: set[str], cache: Path) -> Iterator[record.Record]:
    """Yield the test clips of a task by their keys; a task of another kind than the shipped ones has none."""
    if hasattr(task, "reader"):
        read = task.reader.read(getattr(task, "test_split", getattr(task, "split", "test")), cache)
        for item in read.items:
            if item.key in wanted:
                yield dataclasses.replace(read.load(item), key=item.key)
    elif hasattr(task, "test"):
        records = task.test.open(cache)
        for index in range(len(records)):
            one = records[index]
            if one.key in wanted:
                yield one


def _strip(one: record.Record) -> Image.Image:
    """Return frames spread evenly over a clip, side by side."""
    count = video_frames.count(one)
    chosen = np.linspace(0, count - 1, min(_FRAMES, count)).round().astype(int).tolist()
    clip = video_frames.decode(one, chosen, short_side=_SIDE)
    apart = np.pad(clip, ((0, 0), (0, 0), (0, _GAP), (0, 0)), constant_values=255)
    return Image.fromarray(np.concatenate(list(apart), axis=1)[:, :-_GAP])


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
