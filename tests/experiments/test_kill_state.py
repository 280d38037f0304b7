"""A run whose objectives own state is killed: it goes on to the same bits, also on other devices."""

import pathlib
import signal

import cli
import numpy as np
import pytest
import test_kill

from prismlab.core.train.checkpoints import checkpoint

FILE = pathlib.Path(__file__).with_name("state.gin")


def _train(workdir, **more):
    done = cli.run("train", FILE, *cli.LONG, "--workdir", workdir, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _killed(workdir, stage):
    process = cli.start("train", FILE, *cli.LONG, "--workdir", workdir)
    test_kill.wait_for(process, test_kill.saved(workdir, stage, 2))
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_queue_and_average_resume_to_the_same_bits_and_on_two_devices(tmp_path):
    whole, same, other = (tmp_path / name for name in ("whole", "same", "other"))
    _train(whole)
    for stage in ("stage1", "stage2"):
        _killed(same, stage)
    _train(same)
    assert cli.digest(same) == cli.digest(whole)
    _killed(other, "stage2")
    assert "stage1 (seed 0): already trained, reused" in _train(other, env=cli.environment(devices=2))
    (one,), (two,) = (list(each.glob("stages/stage2-*/checkpoints")) for each in (whole, other))
    (_, wanted), (_, found) = checkpoint.read_learner(one), checkpoint.read_learner(two)
    assert any("average" in name for name in wanted)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=1e-4, err_msg=name)
