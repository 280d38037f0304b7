"""Visualise the batch of a training step: frames, masks, captions and clip keys, as PNG and JSON.

Nothing is recorded during training: batches, crops and masks are pure functions of configuration, seed and
step, and are recomputed here by the same code.
"""

import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw

from prismlab.core import errors, keys
from prismlab.core.io import filesystem
from prismlab.core.train import learner, masking, objective
from prismlab.data.loader import loader
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.store import work_directory

MOST_ROWS = 16
SIDE = 96  # minimum side of a frame in the picture, in pixels
_LINE = 14  # height of a line of text, in pixels


def masks_of(
    views: list[objective.View], *, position: int, seed: int, step: int, batch: int, frames: int, patches: int
) -> dict[str, np.ndarray]:
    """Return the tokens visible to the student in a step, for each masked view.

    Args:
        views: views of the learner.
        position: of the stage; see `stages.Planned`.
        seed: of the experiment.
        step: from 0.
        batch: b, global batch size.
        frames: t, frames per clip in this step.
        patches: n, patches per frame.

    Returns:
        description of the mask -> bool [b, t * n], True where visible.
    """
    key = keys.fold(keys.seeded(seed, "train", position), "step", jnp.int32(step))
    found = {}
    for view in views:
        if view.mask is not None:
            place = masking.sample_batch(view.mask, batch, frames, patches, key=learner.mask_key(view, key))
            found[f"{view.tower}: {view.mask!r}"] = np.asarray(masking.visible_grid(place, frames * patches))
    return found


def show(
    planned: stages.Planned, step: int, cache: pathlib.Path, out: pathlib.Path, built: Any
) -> dict[str, Any]:
    """Write `step-<N>.png` and `step-<N>.json` into a folder.

    Args:
        planned: the stage and its seed.
        step: from 0, below the stage's steps.
        cache: directory shared by runs.
        out: the folder, created if missing.
        built: the stage's learner, possibly abstract; only its views and video tower sizes are read.

    Returns:
        The content of the JSON file: stage, seed, step, source, checksum of the global batch, and for each
        example its source, clip index, key, caption, frames, crop, token ids, weight and visible tokens.

    Raises:
        UserError: the stage has no such step, or has a bad clip where none is allowed.
    """
    stage, seed = planned.stage, planned.seed
    if not 0 <= step < stage.steps:
        raise errors.UserError(f"--step {step}: stage {stage.name!r} has steps 0 to {stage.steps - 1}")
    stream = stage.data.open(stage.batch_size, stage.steps, seed, planned.position, cache)
    batch, origin = stream.seen(step)
    records = {home: stage.data.sources[home].open(cache) for home in set(origin.sources)}
    tower = built.towers["video"]
    frames = batch["video"].shape[1]
    masks = masks_of(
        built.views(), position=planned.position, seed=seed, step=step, batch=stage.batch_size, frames=frames,
        patches=tower.patches,
    )  # fmt: skip
    examples = []
    for row, clip in enumerate(origin.clips.tolist()):
        key, caption = _named(records[origin.sources[row]], clip)
        examples.append(
            {
                "source": origin.sources[row],
                "clip": clip,
                "key": key,
                "caption": caption,
                "frames": origin.frames[row].tolist(),
                "crop": dict(zip(("top", "left", "height", "width", "mirrored"), origin.boxes[row].tolist())),
                "text_ids": batch["text_ids"][row].tolist(),
                "weight": float(batch["weight"][row]),
                "bad": origin.reasons[row],
                "visible": {name: np.flatnonzero(grid[row]).tolist() for name, grid in masks.items()},
            }
        )
    summary = {
        "stage": stage.name,
        "seed": seed,
        "step": step,
        "source": origin.source,
        "checksum": loader.checksum(batch),
        "frames": frames,
        "patches": tower.patches,
        "examples": examples,
    }
    filesystem.write_atomic(out / f"step-{step}.json", work_directory.json_bytes(summary))
    picture = draw(batch["video"], masks, tower.patch, [_title(each) for each in examples])
    target = out / f"step-{step}.png"
    picture.save(target)
    return summary


def _named(records: Any, clip: int) -> tuple[str | None, str | None]:
    try:
        found = records[clip]
    except errors.UserError:  # the ledger has the reason
        return None, None
    return found.key, found.caption


def _title(example: dict[str, Any]) -> str:
    if example["bad"]:
        return f"padding example, weight 0: {example['bad']}"
    crop = example["crop"]
    return (
        f"{example['key']}  weight {example['weight']:g}  frames {example['frames']}  "
        f"crop {crop['width']}x{crop['height']}+{crop['left']}+{crop['top']}"
        f"{' mirrored' if crop['mirrored'] else ''}  {example['caption']!r}"
    )


def draw(
    video: UInt8[np.ndarray, "b t r r 3"],
    masks: dict[str, Bool[np.ndarray, "b s"]],
    patch: int,
    titles: list[str],
) -> Image.Image:
    """Draw each example as a row of frames, followed by one row per mask.

    Args:
        video: uint8 [b, t, r, r, 3]; at most MOST_ROWS examples are drawn.
        masks: name -> bool [b, t * n]; hidden patches are greyed out.
        patch: side of a patch in pixels.
        titles: one line per example.
    """
    shown = min(len(video), MOST_ROWS)
    _, frames, side, _, _ = video.shape
    zoom = max(1, -(-SIDE // side))
    cell = side * zoom
    height = shown * (_LINE + (1 + len(masks)) * (cell + 2)) + _LINE * (1 + len(masks))
    picture = Image.new("RGB", (max(frames * (cell + 2), 900), height), "white")
    pen = ImageDraw.Draw(picture)
    for number, name in enumerate(masks):
        pen.text((2, number * _LINE), f"row {number + 2}: visible to {name}"[:140], fill="black")
    top = _LINE * (1 + len(masks))
    grid = side // patch
    for row in range(shown):
        pen.text((2, top), titles[row][:140].encode("latin-1", "replace").decode("latin-1"), fill="black")
        top += _LINE
        rows = [video[row]]
        for visible in masks.values():
            small = visible[row].reshape(frames, grid, grid)
            large = small.repeat(patch, 1).repeat(patch, 2)[..., None]
            rows.append(np.where(large, video[row], 200 + video[row] // 8).astype(np.uint8))
        for pictures in rows:
            for column, frame in enumerate(pictures):
                picture.paste(Image.fromarray(frame).resize((cell, cell), Image.Resampling.NEAREST),
                              (column * (cell + 2), top))  # fmt: skip
            top += cell + 2
    return picture
