"""Process-wide settings of the command line; nothing in `prismlab` changes them at import."""

import functools
import importlib
import logging
import os


@functools.cache
def setup() -> None:
    """Configure the logging of libraries for this process; `prismlab` commands call it once.

    Python programs may call it too. Without it, results are the same and the logs are longer: XLA describes
    the machine and logs a slow compilation as an error (`TF_CPP_MIN_LOG_LEVEL=0` shows all; what fails is an
    exception in Python anyway), Orbax warns about metadata that steps never have, and each of its threads
    logs a failed write that `checkpoint.Checkpoints` already reports.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    hide_hints()
    # Only Orbax uses asyncio here; hide further failed tasks after the one that was reported.
    logging.getLogger("asyncio").addFilter(lambda note: not note.exc_info)


@functools.cache
def hide_hints() -> None:
    """Hide what Orbax logs of every checkpoint that it reads and of every write that fails; see `setup`."""
    # Imported first: it makes the logger "absl" of a class that knows which file called it.
    importlib.import_module("absl.logging")
    logging.getLogger("absl").addFilter(_is_useful)


def _is_useful(note: logging.LogRecord) -> bool:
    missing = "Metadata file does not exist" in str(note.msg)
    return not missing and not (note.exc_info and "orbax" in note.pathname)
