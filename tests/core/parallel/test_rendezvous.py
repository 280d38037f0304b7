"""What an environment asks for; processes that really join are tested in tests/experiments."""

import pytest
from jax._src import cloud_tpu_init
from jax._src.clusters import cloud_tpu_cluster

from prismlab.core import errors
from prismlab.core.parallel import rendezvous

WHOLE = {"PRISMLAB_COORDINATOR": "a:1", "PRISMLAB_PROCESSES": "2", "PRISMLAB_PROCESS": "1"}


def test_each_kind_of_environment_is_understood():
    assert rendezvous.wanted({}) is None
    assert rendezvous.wanted({"SLURM_STEP_NUM_TASKS": "1", "TPU_WORKER_HOSTNAMES": "one"}) is None
    assert rendezvous.wanted({"SLURM_STEP_NUM_TASKS": "4"}) == {}
    assert rendezvous.wanted({"TPU_WORKER_HOSTNAMES": "one,two"}) == {}
    assert rendezvous.wanted({"MEGASCALE_COORDINATOR_ADDRESS": "one"}) == {}
    wanted = {"coordinator_address": "a:1", "num_processes": 2, "process_id": 1}
    assert rendezvous.wanted(WHOLE) == wanted


@pytest.mark.parametrize(("hosts", "wanted"), [("10.0.0.1", None), ("a:0:10.0.0.1,b:1:10.0.0.2", {})])
def test_tpu_vms_are_counted_by_their_metadata(hosts, wanted, monkeypatch):
    told = {"agent-worker-number": "0", "worker-network-endpoints": hosts, "tpu-env": ""}
    monkeypatch.setattr(cloud_tpu_cluster, "get_metadata", lambda key: (told[key], 200))
    for module in (cloud_tpu_init, cloud_tpu_cluster):
        monkeypatch.setattr(module, "running_in_cloud_tpu_vm", True)
    monkeypatch.delenv("TPU_SKIP_MDS_QUERY", raising=False)
    assert rendezvous.wanted({}) == wanted


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
        rendezvous.wanted(WHOLE | change)
