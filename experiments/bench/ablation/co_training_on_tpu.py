"""Compile a stage alone and as rows that train together for a TPU slice, and compare their serial estimates.

    python -m prismlab.experiments.bench.ablation.co_training_on_tpu videoprism_giant.gin --topology v5p:4x4x4

Needs libtpu and no TPU. The estimate is that of `prismlab plan` (`plan.serial`), which no chip has run. Rows
that train together share the teacher pass, so six rows take T + 6 S where one takes T + S; the program of
`--rows` rows gives S, and the share of any number of rows. Compiling takes minutes for each row.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from prismlab.core import errors
from prismlab.experiments import console
from prismlab.experiments.plan import compile_worker, compiled, serial, topology

GROUP = 6  # rows of the share that is printed


def estimate(file: str, where: topology.Topology, rows: int) -> tuple[float, float, float]:
    """Compile stage 2 of a recipe, in a process of its own.

    Args:
        file: a recipe with a row that has a stage named "stage2".
        where: the slice.
        rows: how many equal rows train together; 1 is the step of a single run.

    Returns:
        Seconds of the serial estimate, bytes of a chip's buffers, and seconds of compilation.

    Raises:
        UserError: the compiler failed.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        dump = pathlib.Path(folder)
        asked = json.dumps({"file": file, "topology": where.text, "rows": rows, "dump": folder})
        command = [sys.executable, "-m", "prismlab.experiments.bench.ablation.co_training_on_tpu", "--worker"]
        with (
            (dump / "notes.txt").open("w", encoding="utf-8") as notes,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stderr=notes, text=True, encoding="utf-8"
            ) as process,
        ):
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # its notes have the reason
                pipe.write(asked)
            # Code generation, which takes most of the time, changes no operation.
            while process.poll() is None and compiled.assigned(dump) is None:
                time.sleep(1)
            process.kill()
        answer = compiled.assigned(dump)
        if answer is None:
            lines = (dump / "notes.txt").read_text(encoding="utf-8", errors="replace").split("\n")
            last = [line for line in lines if line.strip()][-1:]
            raise errors.UserError(f"the compiler wrote no module: {' '.join(last)[:300]}")
    held, module = answer
    return serial.read(module, where.chip).seconds, held, time.monotonic() - start


def compile_rows() -> None:
    """Compile what the JSON on stdin asks for."""
    compile_worker.prepare(os.environ)
    asked = json.load(sys.stdin)
    from prismlab.core.train.loops import co_training
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.plan import choices

    root = strict.load(asked["file"], []).root
    job = next((each for each in choices.jobs(root) if each.stage.name == "stage2"), None)
    if job is None:
        raise errors.UserError(f"{asked['file']}: expected a row with a stage named stage2, found none")
    request = {
        "file": asked["file"], "bindings": (), "row": job.row, "stage": "stage2",
        "batch_size": job.stage.batch_size, "remat": None,
    }  # fmt: skip
    stage, built = choices.stage_of(request)
    single, state, batch, teacher = compile_worker.arguments(stage, built, asked["topology"])
    rows = asked["rows"]
    if rows == 1:
        lowered = single.lower(state, batch, teacher)
    else:
        lowered = co_training.lower([single] * rows, [state] * rows, batch, teacher)
    dump = {"xla_dump_to": asked["dump"], "xla_dump_hlo_as_text": True, "xla_dump_hlo_module_re": ".*"}
    lowered.compile(compiler_options=dump)


def main() -> None:
    """Compile and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", nargs="?", default="videoprism_giant.gin", help="default: %(default)s")
    parser.add_argument("--topology", default="v5p:4x4x4", help="the slice (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=2, help="of the program (default: %(default)s)")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        compile_rows()
        return
    if options.rows < 2:
        parser.error(f"expected --rows of 2 or more, got {options.rows}")
    where = topology.parse(options.topology)
    found = {rows: estimate(options.recipe, where, rows) for rows in (1, options.rows)}
    (alone, *_), (together, *_) = found.values()
    student = (together - alone) / (options.rows - 1)
    lines = [
        [str(rows), f"{seconds:.3f}", f"{held / 2**30:.2f}", f"{compiling:.0f}"]
        for rows, (seconds, held, compiling) in found.items()
    ]
    out = console.make_console()
    heads = ("rows", "serial s", "GiB a chip", "compiled in s")
    console.table(out, heads, lines, numbers=heads)
    share = (alone - student + GROUP * student) / (GROUP * alone)
    console.say(
        out,
        f"{options.recipe}, stage 2, {where.text}: teacher pass {alone - student:.3f} s, the rest of a row "
        f"{student:.3f} s; {GROUP} rows together take {share:.2f} of {GROUP} single steps",
    )


if __name__ == "__main__":
    main()
