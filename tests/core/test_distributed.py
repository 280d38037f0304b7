"""What an environment asks for; processes that run together are tested in tests/experiments."""

import pytest

from core import distributed, errors

WHOLE = {"PRISMLAB_COORDINATOR": "a:1", "PRISMLAB_PROCESSES": "2", "PRISMLAB_PROCESS": "1"}


def test_each_kind_of_environment_is_understood():
    assert distributed.wanted({}) is None
    assert distributed.wanted({"SLURM_STEP_NUM_TASKS": "1", "TPU_WORKER_HOSTNAMES": "one"}) is None
    assert distributed.wanted({"SLURM_STEP_NUM_TASKS": "4"}) == {}
    assert distributed.wanted({"TPU_WORKER_HOSTNAMES": "one,two"}) == {}
    wanted = {"coordinator_address": "a:1", "num_processes": 2, "process_id": 1}
    assert distributed.wanted(WHOLE) == wanted


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"PRISMLAB_PROCESS": ""}, "PRISMLAB_PROCESS is not set, but PRISMLAB_COORDINATOR is"),
        ({"PRISMLAB_PROCESS": "2"}, "PRISMLAB_PROCESS=2 must be below PRISMLAB_PROCESSES=2"),
        ({"PRISMLAB_PROCESSES": "two"}, "PRISMLAB_PROCESSES='two' must be a whole number"),
        ({"PRISMLAB_COORDINATOR": "a"}, "PRISMLAB_COORDINATOR='a' must be host:port"),
    ],
)
def test_an_environment_without_sense_is_refused(change, told):
    with pytest.raises(errors.UserError, match=told):
        distributed.wanted(WHOLE | change)


def test_one_process_decides_for_itself():
    assert distributed.decide(lambda: {"a": 1}) == {"a": 1}
    distributed.check_same(lambda: pytest.fail("nobody to compare with"))
