"""A reader that goes away does not stop a command, and does not change its exit code."""

import os
import subprocess
import sys

import pytest

from prismlab.experiments import standard_streams

CODE = """
import sys
from prismlab.experiments import standard_streams
with standard_streams.tolerant():
    for number in range(20000):
        print(number, "words " * 10)
    print("end", file=sys.stderr)
sys.exit(75)
"""


def test_a_closed_pipe_is_one_line_and_the_exit_code_stays():
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        told = process.stderr.read()
    assert process.wait() == 75
    assert told.splitlines() == ["prismlab: standard output was lost (Broken pipe); continuing", "end"]


def test_a_full_device_is_no_reason_to_stop():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([sys.executable, "-c", CODE], stdout=full, stderr=full)
    assert done.returncode == 75


def test_a_stream_that_works_is_passed_through(tmp_path):
    with open(tmp_path / "out", "w", encoding="utf-8") as file:
        stream = standard_streams.Tolerant(file)
        assert stream.write("a line") == 6
        assert stream.encoding == file.encoding
        assert not stream.isatty()
        stream.flush()
    assert (tmp_path / "out").read_text() == "a line"


def test_an_encoding_error_is_not_hidden(tmp_path):
    with open(tmp_path / "out", "w", encoding="ascii") as file, pytest.raises(UnicodeError, match="ascii"):
        standard_streams.Tolerant(file).write("\u00e9")


def test_a_stream_that_was_closed_at_the_start_is_no_reason_to_stop():
    for closed in ("stdout", "stderr"):
        script = CODE.replace("with standard", f"sys.{closed} = None\nwith standard")
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 75, done.stderr
        assert done.stderr == ("end\n" if closed == "stdout" else "")
