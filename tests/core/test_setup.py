"""`setup` filters the log of Orbax and nothing else."""

import logging
import subprocess
import sys

import pytest

CODE = """
import sys
from prismlab.core import setup
setup.setup()
from absl import logging
scope = {"logging": logging, "error": OSError("no space")}
code = "logging.error('MESSAGE', exc_info=error)" if WITH else "logging.error('MESSAGE')"
exec(compile(code, "FILE", "exec"), scope)
"""


@pytest.mark.parametrize(
    ("file", "message", "traceback", "shown"),
    [
        ("/x/orbax/a.py", "a failed write", True, False),
        ("/x/orbax/a.py", "a hint", False, True),
        ("/x/orbax/a.py", "Metadata file does not exist", False, False),
        ("/x/mine.py", "a failed write", True, True),
    ],
)
def test_failed_writes_of_orbax_are_not_logged_twice(file, message, traceback, shown):
    code = CODE.replace("FILE", file).replace("MESSAGE", message).replace("WITH", str(traceback))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (message in done.stderr) == shown


def test_it_is_done_once():
    from prismlab.core import setup

    setup.setup()
    before = len(logging.getLogger("absl").filters)
    setup.setup()
    assert len(logging.getLogger("absl").filters) == before
