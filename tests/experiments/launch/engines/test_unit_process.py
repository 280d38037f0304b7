"""Processes of units: exit codes are reported, a unit stops with its parent, and freed memory is kept."""

import concurrent.futures
import json
import os
import subprocess
import sys
import time

import stand_in_unit

from prismlab.experiments.launch.engines import unit_process

# Every thread has blocks of scratch memory larger than a thread's own heap, as XLA's threads have.
FAULTS = """
import json, resource, threading
import numpy as np
from prismlab.core import allocator
from prismlab.experiments import main
from prismlab.experiments.launch.engines import unit_process

def command(words):
    kept = allocator.keep_freed()
    found, turn, all_started = [], threading.Lock(), threading.Barrier(8)

    def use():
        all_started.wait()
        with turn:
            for _ in range(3):
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                np.ones(100 << 20, np.uint8)
            found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([kept, found]))
    return 0

main.main = command
unit_process._enter([], {})
"""


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


def test_no_thread_of_a_unit_has_its_pages_zeroed_again():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, faults = json.loads(done.stdout)
    if kept:  # glibc; elsewhere nothing is promised
        assert max(faults) < 100, faults
