"""Processes of units: each exit code is reported, and a unit stops with the process that started it."""

import concurrent.futures
import os
import subprocess
import sys
import time

import stand_in_unit

from prismlab.experiments.launch.engines import unit_process


def test_every_process_is_reported_with_its_own_exit_code(monkeypatch):
    """Processes that end while others start: with two readers of a code, one found none and reported 255."""
    monkeypatch.setattr(unit_process, "_enter", stand_in_unit.end_at_once)
    monkeypatch.setattr(unit_process, "IMPORTED", ())
    wanted = [str(number % 3) for number in range(60)]
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        found = threads.map(lambda code: unit_process.run(["run-unit", code], "w", {}), wanted)
        assert list(map(str, found)) == wanted


def test_a_unit_stops_with_the_process_that_started_it(tmp_path):
    """It gets SIGTERM, as from a scheduler, when its parent has ended."""
    code = "from prismlab.experiments.launch.engines import unit_process; import os, time, signal;"
    code += "signal.signal(signal.SIGTERM, lambda *_: (open('stopped', 'w').close(), os._exit(75)));"
    code += "parent = os.getpid();"
    code += "os.fork() and os._exit(0);"
    code += "unit_process._stop_with(parent); time.sleep(20)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ}, check=True)
    until = time.monotonic() + 20
    while not (tmp_path / "stopped").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
