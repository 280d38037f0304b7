"""Compile one training step for a TPU slice that is not here; run as its own process by `compiled`.

python -m prismlab.experiments.plan.compile_worker < request.json > answer.json
"""

import json
import os
import sys
import time
from typing import Any

# Nothing but the compiler is wanted: no metadata server is asked, and plans may run side by side.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "true",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
    "TF_CPP_MIN_LOG_LEVEL": "1",
}


def main() -> None:
    """Read a request, write an answer; whatever goes wrong becomes the answer's "error"."""
    os.environ.update(ENVIRONMENT)
    answer = sys.stdout
    sys.stdout = sys.stderr  # whatever else is printed must not get between the lines of the answer
    try:
        told = compile_request(json.load(sys.stdin))
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}"[:20000]}
    json.dump(told, answer)


def compile_request(asked: dict[str, Any]) -> dict[str, Any]:
    """Compile what was asked for.

    Args:
        asked: file, bindings, row, stage, topology, batch_size, remat, dump: see `compiled.Request`; the
            compiler writes its module to the folder "dump", for as_text() of jaxlib cannot read every
            asynchronous collective.

    Returns:
        Bytes on one chip: arguments, temporary, output, code; and seconds of compiling.
    """
    from prismlab.experiments.plan import choices

    stage, built = choices.stage_of(asked)
    step = lowered(stage, built, asked["topology"])
    start = time.perf_counter()
    dump = {"xla_dump_to": asked["dump"], "xla_dump_hlo_as_text": True, "xla_dump_hlo_module_re": ".*"}
    stats = step.compile(compiler_options=dump).memory_analysis()
    return {
        "seconds": time.perf_counter() - start,
        "arguments": stats.argument_size_in_bytes,
        "temporary": stats.temp_size_in_bytes,
        "output": stats.output_size_in_bytes - stats.alias_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
    }


def lowered(stage: Any, built: Any, topology: str) -> Any:
    """Return the training step of a stage, lowered for a slice.

    Args:
        stage: recipe.Stage.
        built: learners by shape, see `abstract_step.learners`.
        topology: such as "v5p:4x4x8".
    """
    import jax
    from jax.experimental import topologies

    from prismlab.core.parallel import mesh, sharding
    from prismlab.core.train import step
    from prismlab.experiments.cost import abstract_step

    devices = topologies.get_topology_desc(topology_name=topology, platform="tpu").devices
    laid = stage.run.layout.make(devices)
    mesh.check_batch(stage.batch_size, laid, stage.accumulate)
    optimizer = stage.optimizer.build(stage.steps)
    state, teacher = abstract_step.state_of(stage, built), abstract_step.teacher_of(stage, built)
    compiled: Any = step.compile_step(
        state, optimizer, stage.frozen, teacher, mesh=laid, rules=stage.run.rules, accumulate=stage.accumulate
    )
    where = mesh.split(laid)
    batch = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
        abstract_step.batch_of(stage, stage.batch_size),
    )
    placed = (sharding.abstract(each, laid, stage.run.rules) for each in (state, teacher))
    return compiled.lower(next(placed), batch, next(placed))


if __name__ == "__main__":
    main()
