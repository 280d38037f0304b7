"""Work shared out among spawned processes, a bounded number of pieces at a time."""

import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def end_with_parent() -> None:
    """End this worker when its parent is gone: a killed run leaves no process behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def each(work: Callable[[Any], Any], pieces: Iterable[Any], workers: int) -> Iterator[Any]:
    """Yield the result of each piece as it is done, in no fixed order.

    Args:
        work: called with one piece; with workers, both must pickle.
        pieces: read only a little ahead of the work.
        workers: processes; 0 works in this one.

    Raises:
        Exception: what `work` raised; what was not begun is then left.
    """
    if workers == 0:
        yield from map(work, pieces)
        return
    # Spawned, not forked: the caller may already run threads.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=end_with_parent
    ) as pool:
        running: set[concurrent.futures.Future] = set()
        try:
            for piece in pieces:
                running.add(pool.submit(work, piece))
                if len(running) > 2 * workers:
                    done, running = concurrent.futures.wait(
                        running, return_when=concurrent.futures.FIRST_COMPLETED
                    )
                    yield from (future.result() for future in done)
            yield from (future.result() for future in concurrent.futures.as_completed(running))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
