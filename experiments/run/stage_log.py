"""Event log of a stage, with its TensorBoard mirror."""

from prismlab.core.events import event_log, tensorboard
from prismlab.core.io import filesystem
from prismlab.core.parallel import distributed
from prismlab.experiments import console


def open_log(folder: filesystem.Path, at: int) -> event_log.EventLog | event_log.Silent:
    """Open the event log of a stage; only process 0 writes one.

    Args:
        folder: the stage's folder.
        at: later steps are removed, because training continues here.
    """
    if not distributed.is_main():
        return event_log.Silent()
    # TensorBoard files cannot be appended to in a bucket; the event log has the same values.
    remote = filesystem.is_remote(folder)
    mirror = (
        None if remote else tensorboard.TensorBoard(folder / "tensorboard", resume_step=at, warn=console.tell)
    )
    return event_log.EventLog(folder / "events.jsonl", resume_step=at, tensorboard=mirror)
