"""Parallel map over spawned processes with a bounded number of tasks in flight."""

import collections
import concurrent.futures
import concurrent.futures.process
import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from prismlab.core import errors


def end_with_parent() -> None:
    """Exit this worker process when its parent exits, so that a killed run leaves no orphans."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def refuse_unguarded_script() -> None:
    """Refuse to start work while a worker process imports the script of its parent.

    Call before a lock is taken that the parent holds: the worker would wait for it forever.

    Raises:
        errors.UserError: the script does not guard what it does with `if __name__ == "__main__"`.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise errors.UserError(
            "a worker process imports your script and starts its work again; put what the script does under "
            '`if __name__ == "__main__":`'
        )


def in_order(work: Callable[[Any], Any], pieces: Iterable[Any], workers: int) -> Generator[Any, None, None]:
    """Apply `work` to every item in parallel and yield results in the order of the items; see `each`."""
    if workers == 0:
        yield from map(work, pieces)
        return
    with _pool(workers) as pool:
        waiting = collections.deque[concurrent.futures.Future]()
        try:
            for piece in pieces:
                waiting.append(pool.submit(work, piece))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            concurrent.futures.wait(waiting)  # they may hold files


def each(work: Callable[[Any], Any], pieces: Iterable[Any], workers: int) -> Generator[Any, None, None]:
    """Apply `work` to every item in parallel and yield results as they complete, in no fixed order.

    Args:
        work: called with one item; if workers > 0, `work` and the items must be picklable.
        pieces: input items; consumed lazily, at most 2 * workers + 1 ahead of the results.
        workers: number of processes; 0 runs in the calling process.

    Raises:
        Exception: any exception raised by `work`, after the tasks that were handed out have ended.
    """
    if workers == 0:
        yield from map(work, pieces)
        return
    with _pool(workers) as pool:
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
        finally:
            concurrent.futures.wait(running)


class _Shared(threading.local):
    """The pool that the calls of a thread share, and its number of processes."""

    pool: concurrent.futures.ProcessPoolExecutor | None = None
    workers: int = 0


_SHARED = _Shared()


@contextlib.contextmanager
def shared(workers: int) -> Iterator[None]:
    """Let all calls of this thread within the block share one pool, whose processes start once.

    Args:
        workers: number of processes; they start when they are first needed. A call that asks for another
            number starts a pool of its own.
    """
    before = _SHARED.pool, _SHARED.workers
    with _started(workers) as pool:
        _SHARED.pool, _SHARED.workers = pool, workers
        try:
            yield
        finally:
            _SHARED.pool, _SHARED.workers = before


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    refuse_unguarded_script()
    with _told():
        if _SHARED.pool is not None and workers == _SHARED.workers:
            yield _SHARED.pool
        else:
            with _started(workers) as pool:
                yield pool


def _started(workers: int) -> concurrent.futures.ProcessPoolExecutor:
    # Spawn rather than fork: the caller may already have threads (JAX does).
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except concurrent.futures.process.BrokenProcessPool as found:
        raise errors.UserError(
            "a worker process ended before its work was done: out of memory, killed, or belonging "
            'to a script without `if __name__ == "__main__":`'
        ) from found
