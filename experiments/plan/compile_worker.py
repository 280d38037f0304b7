"""Compile one training step ahead of time for a TPU slice; started as a subprocess by `compiled`.

python -m prismlab.experiments.plan.compile_worker < request.json > answer.json
"""

import json
import os
import sys
import time
from collections.abc import MutableMapping
from typing import Any

# Only the compiler is used: skip the metadata server, and allow several processes to load libtpu.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "true",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
    "TF_CPP_MIN_LOG_LEVEL": "1",
}


def main() -> None:
    """Read a request from stdin and write the answer to stdout; exceptions become the key "error"."""
    prepare(os.environ)
    answer = sys.stdout
    sys.stdout = sys.stderr  # keep other output out of the JSON on stdout
    try:
        told = compile_request(json.load(sys.stdin))
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}"[:20000]}
    json.dump(told, answer)


def prepare(environment: MutableMapping[str, str]) -> None:
    """Set the environment variables of the compiler.

    Args:
        environment: `os.environ`, before the compiler is loaded. XLA_FLAGS is removed: it is for another
            backend, and libtpu ends the process at a flag that it does not know.
    """
    environment.update(ENVIRONMENT)
    environment.pop("XLA_FLAGS", None)


def compile_request(asked: dict[str, Any]) -> dict[str, Any]:
    """Compile the step of a request.

    Args:
        asked: file, bindings, row, stage, topology, batch_size, remat, rows, dump: see `compiled.Request`;
            the compiler writes its module to the folder "dump", because as_text() of jaxlib does not support
            every asynchronous collective.

    Returns:
        Bytes per chip: arguments, temporary, output, code; and compile time in seconds.
    """
    from prismlab.experiments.plan import choices

    stage, built = choices.stage_of(asked)
    step = lowered(stage, built, asked["topology"], asked["rows"])
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


def lowered(stage: Any, built: Any, topology: str, rows: int = 1) -> Any:
    """Return the training step of a stage, lowered for a TPU slice.

    Args:
        stage: recipe.Stage.
        built: abstract learners, see `abstract_step.learners`.
        topology: for example "v5p:4x4x8".
        rows: how many equal rows train together.
    """
    import jax
    from jax.experimental import topologies

    from prismlab.core.parallel import mesh, sharding
    from prismlab.core.train.loops import co_training
    from prismlab.core.train.steps import step
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
    state, teacher = (sharding.abstract(each, laid, stage.run.rules) for each in (state, teacher))
    if rows == 1:
        return compiled.lower(state, batch, teacher)
    return co_training.lower([compiled] * rows, [state] * rows, batch, teacher)


if __name__ == "__main__":
    main()
