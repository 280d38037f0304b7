"""Demo input for corpus preparation, rendered from the synthetic world: clips, talks and images."""

import pathlib
from collections.abc import Callable

import numpy as np

from prismlab.core.io import filesystem
from prismlab.data.corpus import clip_encoding
from prismlab.data.video import encode
from prismlab.data.world import render
from prismlab.data.world import world as world_module

CLIPS_A_TALK = 10


def render_raw(
    directory: pathlib.Path, clips: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, int]:
    """Write `clean/` (short clips and a table), `talks/` (videos with WebVTT) and `images/` (with captions).

    Args:
        directory: output folder; created if missing.
        clips: total number of clips, 40 or more: 50% clean, 30% talks, the rest images.
        progress: called as progress(clips done, total clips).

    Returns:
        The number of clips of each kind.
    """
    talks = max(1, round(0.3 * clips / CLIPS_A_TALK))
    count = {"clean": clips // 2, "talks": talks * CLIPS_A_TALK}
    count["images"] = clips - sum(count.values())
    report = progress or (lambda done, total: None)
    render.render(
        world_module.World(clips=count["clean"]),
        directory / "clean",
        workers=0,
        progress=lambda done, total: report(done, clips),
    )
    spoken = world_module.World(clips=count["talks"], seed=1, caption_noise=1.0)
    (directory / "talks").mkdir(exist_ok=True)
    for talk in range(talks):
        indices = range(talk * CLIPS_A_TALK, (talk + 1) * CLIPS_A_TALK)
        seconds = spoken.frames / spoken.fps
        cues = ["WEBVTT"]
        for number, index in enumerate(indices):
            times = (f"00:{number * seconds + part * seconds:06.3f}" for part in (0, 1))
            cues.append(f"{' --> '.join(times)}\n{spoken.caption(index)}.")
        name = directory / "talks" / f"{talk:05d}"
        frames = np.concatenate([spoken.video(index) for index in indices])
        filesystem.write_atomic(name.with_suffix(".mp4"), encode.encode(frames, spoken.fps))
        filesystem.write_atomic(name.with_suffix(".vtt"), ("\n\n".join(cues) + "\n").encode())
        report(count["clean"] + indices[-1] + 1, clips)
    shown = world_module.World(clips=count["images"], seed=2)
    (directory / "images").mkdir(exist_ok=True)
    for index in range(count["images"]):
        name = directory / "images" / f"{index:05d}"
        filesystem.write_atomic(name.with_suffix(".jpg"), clip_encoding.jpeg(shown.video(index)[0], 95))
        filesystem.write_atomic(name.with_suffix(".txt"), (shown.caption(index) + "\n").encode())
    report(clips, clips)
    return count
