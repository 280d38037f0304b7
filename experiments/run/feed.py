"""Batches of a stage: record bad clips in a ledger, log the source mixture, report new batch shapes."""

from collections.abc import Callable, Iterator

from prismlab.core.events import event_log
from prismlab.core.io import filesystem
from prismlab.data.loader import bad_clips, stream

LEDGER = "bad_clips.jsonl"


def batches(
    opened: stream.Stream,
    start: int,
    folder: filesystem.Path,
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
        folder: directory of the stage; lists bad clips in `bad_clips.jsonl` (`bad_clips-1.jsonl` for host 1).
        log: receives an event of kind "mixture" every `every` steps and at the last step, with the result of
            `stream.Stream.mixture` and "bad/<source>", the number of clips in the ledger.
        max_bad_share: largest fraction of a source's clips that may be bad.
        every: steps between two events.
        say: called with a message when a batch has a new shape, for which a step is compiled.
        host: index of this host.

    Raises:
        UserError: more bad clips than allowed.
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
        # Log before the step runs: a run that stops right after it never requests another batch.
        if done % every == 0 or done == opened.steps:
            bad = {f"bad/{home}": float(count) for home, count in noted.counts().items()}
            log.write(done, "mixture", opened.mixture(done) | bad)
        yield batch
