"""Between the loader and the loop: the ledger of bad clips, the mixture in the log, a word on new shapes."""

from collections.abc import Callable, Iterator

from prismlab.core.io import filesystem
from prismlab.core.train import event_log
from prismlab.data.loader import bad_clips, stream

LEDGER = "bad_clips.jsonl"


def batches(
    opened: stream.Stream,
    start: int,
    folder: filesystem.Place,
    log: event_log.EventLog | event_log.Silent,
    *,
    max_bad_share: float,
    every: int,
    say: Callable[[str], None],
    host: int = 0,
) -> Iterator[stream.HostArrays]:
    """Yield the host batches of a stage.

    Args:
        opened: the loader.
        start: first step.
        folder: of the stage; bad clips are named in its `bad_clips.jsonl` (`bad_clips-1.jsonl` for host 1).
        log: gets an event of kind "mixture" every so many steps and at the end, with what
            `stream.Stream.mixture` returns and "bad/<source>", clips in the ledger.
        max_bad_share: share of a source's clips that may be bad.
        every: steps between two events.
        say: told when a batch has a shape for which a step is compiled on first use.
        host: number of this host.

    Raises:
        UserError: a bad clip where none is allowed, or more of them than are.
    """
    name = LEDGER if host == 0 else LEDGER.replace(".", f"-{host}.")
    noted = bad_clips.Ledger(folder / name, opened.clips, max_bad_share)
    shapes: set[tuple[int, ...]] = set()
    for done, batch in enumerate(opened.read(start, noted), start + 1):
        if batch["video"].shape not in shapes:
            shapes.add(batch["video"].shape)
            if len(shapes) > 1:
                frames = batch["video"].shape[1]
                home = opened.source_of_step[done - 1]
                say(f"step {done}: source {home!r} has {frames} frames; a step for it is compiled now")
        # Before the step is taken: a run that stops right after it never asks for another batch.
        if done % every == 0 or done == opened.steps:
            bad = {f"bad/{home}": float(count) for home, count in noted.counts().items()}
            log.write(done, "mixture", opened.mixture(done) | bad)
        yield batch
