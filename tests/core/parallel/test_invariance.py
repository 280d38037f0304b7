"""Whatever the mesh, twenty steps give the same losses; a state goes from one mesh to another bit by bit."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

HERE = pathlib.Path(__file__).parent


def _run(script, *words):
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE.parents[2])])
    done = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, words)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _losses(devices, layout):
    out = _run("invariance.py", devices, layout)
    return np.asarray([json.loads(line) for line in out.splitlines()])


@pytest.mark.slow
def test_losses_do_not_depend_on_the_mesh():
    wanted = _losses(1, "1,1,1")
    assert wanted.shape == (2, 20)
    others = [(2, "1,-1,1"), (4, "1,-1,1"), (8, "1,-1,1"), (8, "8,1,1"), (8, "1,4,2"), (8, "2,2,2")]
    for devices, layout in others:
        np.testing.assert_allclose(_losses(devices, layout), wanted, atol=1e-5, err_msg=layout)


@pytest.mark.slow
def test_what_eight_devices_saved_others_restore_bit_by_bit(tmp_path):
    saved = _run("resharding.py", "save", 8, tmp_path)
    assert saved.strip()
    for devices in (1, 2, 4):
        assert _run("resharding.py", "restore", devices, tmp_path) == saved
