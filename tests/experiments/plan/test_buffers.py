"""Memory of a compiled step from its buffer assignment."""

import os
import pathlib

import jax
import jax.numpy as jnp
import pytest

from prismlab.core.nn import packing
from prismlab.experiments.plan import buffers, compile_worker, compiled

ASSIGNMENT = """BufferAssignment:
allocation 0: size 4096, parameter 0, shape |bf16[4,512]| at ShapeIndex {}, maybe-live-out:
 value: <1 x @0> (size=4096,offset=0): bf16[4,512]{1,0}
allocation 1: size 1000000, thread-local:
 value: <2 y @0> (size=1000000,offset=0): bf16[500000]{0}
allocation 2: color 1, size 2000000, preallocated-temp:
allocation 3: size 64, output shape is |f32[16]|, maybe-live-out:
allocation 4: size 512, preallocated-temp:
 value: <3 z @0> (size=512,offset=0): f32[128]{0}
"""


def test_thread_local_buffers_and_those_of_other_memory_spaces_take_no_device_memory():
    assert buffers.held(ASSIGNMENT) == 4096 + 64 + 512
    assert buffers.held(ASSIGNMENT.replace(": color 1, size 2000000", ": size 2000000, color 1")) == 4672
    assert buffers.held("nothing here") is None


def test_a_step_is_read_once_the_compiler_wrote_its_buffers_and_its_module(tmp_path: pathlib.Path):
    name = "module_1.jit_step.{}.txt"
    module = tmp_path / name.format("after_optimizations")
    assert compiled._assigned(tmp_path) is None
    (tmp_path / name.format("after_optimizations-buffer-assignment")).write_text(ASSIGNMENT)
    assert compiled._assigned(tmp_path) is None
    module.write_text("ENTRY %main () -> f32[] {")
    assert compiled._assigned(tmp_path) is None
    module.write_text("ENTRY %main () -> f32[] {\n}\n")
    assert compiled._assigned(tmp_path) == (4672.0, module.read_text())


def test_the_compiler_does_not_see_flags_of_another_backend():
    environment = {"XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false", "LANG": "C"}
    compile_worker.prepare(environment)
    assert environment == {"LANG": "C"} | compile_worker.ENVIRONMENT


@pytest.mark.slow
@pytest.mark.tpu
def test_the_bytes_are_those_of_a_whole_compilation(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("libtpu", reason="the optional extra `tpu` is not installed")
    from jax.experimental import topologies

    for name in (*compile_worker.ENVIRONMENT, "XLA_FLAGS"):
        monkeypatch.setenv(name, "")  # restored after the test
    compile_worker.prepare(os.environ)
    devices = topologies.get_topology_desc(topology_name="v6e:2x2", platform="tpu").devices
    where = jax.sharding.SingleDeviceSharding(devices[0])
    struct = lambda *shape, dtype: jax.ShapeDtypeStruct(shape, dtype, sharding=where)

    def step(x, index):
        # Scatters and gathers run on SparseCore, whose arguments are thread-local allocations.
        for factor in (1.0, 2.0, 3.0):
            layout = packing.Grid(index, 8, 256)
            x = layout.gather(jnp.sin(factor * layout.scatter(x)))
        return x

    arguments = struct(64, 717, 12, 64, dtype=jnp.bfloat16), struct(64, 717, dtype=jnp.int32)
    dump = {
        "xla_dump_to": str(tmp_path), "xla_dump_hlo_as_text": True, "xla_dump_hlo_module_re": ".*"
    }  # fmt: skip
    stats = jax.jit(step).lower(*arguments).compile(compiler_options=dump).memory_analysis()
    (assignment,) = tmp_path.glob("*jit_step*after_optimizations-buffer-assignment.txt")
    found = buffers.held(assignment.read_text())
    parts = stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes
    assert found == pytest.approx(parts, abs=2**20)
