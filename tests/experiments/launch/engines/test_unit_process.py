"""The process of a unit keeps freed memory, whichever of its threads allocates."""

import json
import subprocess
import sys

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


def test_no_thread_of_a_unit_has_its_pages_zeroed_again():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, faults = json.loads(done.stdout)
    if kept:  # glibc; elsewhere nothing is promised
        assert max(faults) < 100, faults
