"""Whatever the mesh, twenty steps of both stages give the same losses."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

HERE = pathlib.Path(__file__).parent


def _losses(devices, layout):
    paths = os.pathsep.join([str(HERE.parent), str(HERE.parents[1])])
    done = subprocess.run(
        [sys.executable, str(HERE / "invariance.py"), str(devices), layout],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    return np.asarray([json.loads(line) for line in done.stdout.splitlines()])


@pytest.mark.slow
def test_losses_do_not_depend_on_the_mesh():
    wanted = _losses(1, "1,1,1")
    assert wanted.shape == (2, 20)
    others = [(2, "1,-1,1"), (4, "1,-1,1"), (8, "1,-1,1"), (8, "8,1,1"), (8, "1,4,2"), (8, "2,2,2")]
    for devices, layout in others:
        np.testing.assert_allclose(_losses(devices, layout), wanted, atol=1e-5, err_msg=layout)
