"""`setup` filters the log of Orbax and nothing else."""

import logging
import os
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


@pytest.mark.parametrize(("before", "after"), [(None, "3"), ("0", "0")])
def test_the_alarm_of_slow_compilations_is_not_shown_unless_asked_for(before, after):
    code = (
        "import os\nfrom prismlab.core import setup\nsetup.setup()\nprint(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment |= {} if before is None else {"TF_CPP_MIN_LOG_LEVEL": before}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == after


def test_it_is_done_once():
    from prismlab.core import setup

    setup.setup()
    before = len(logging.getLogger("absl").filters)
    setup.setup()
    assert len(logging.getLogger("absl").filters) == before
