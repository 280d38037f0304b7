"""Compile a stage alone and as rows that train together for a TPU slice, and compare their serial estimates.

    python -m prismlab.experiments.bench.ablation.co_training_on_tpu videoprism_giant.gin --topology v5p:4x4x4

Needs libtpu and no TPU. The estimate is that of `prismlab plan` (`plan.serial`), which no chip has run. Rows
that train together share the teacher pass, so six rows take T + 6 S where one takes T + S; the program of
`--rows` rows gives S, and the share of any number of rows. Compiling takes minutes for each row.
"""

import argparse

from prismlab.core import errors
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.plan import choices, compiled, topology

GROUP = 6  # rows of the share that is printed
SECONDS = 3600.0  # for one compilation


def estimate(file: str, where: topology.Topology, rows: int) -> tuple[float, float]:
    """Compile stage 2 of a recipe for a slice.

    Args:
        file: a recipe with a row that has a stage named "stage2".
        where: the slice.
        rows: see `compiled.Request`.

    Returns:
        Seconds of the serial estimate, and bytes of a chip's buffers.

    Raises:
        UserError: the recipe has no such stage, or the compiler failed.
    """
    jobs = choices.jobs(strict.load(file, []).root)
    job = next((each for each in jobs if each.stage.name == "stage2"), None)
    if job is None:
        raise errors.UserError(f"{file}: expected a row with a stage named stage2, found none")
    asked = compiled.Request(file, (), job.row, job.stage.name, where.text, job.stage.batch_size, rows=rows)
    answer = compiled.run(asked, SECONDS)
    if answer.problem or answer.bytes is None:
        raise errors.UserError(f"{file}, {rows} rows on {where.text}: {answer.problem}")
    return answer.report["serial"]["seconds"], answer.bytes


def main() -> None:
    """Compile and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", nargs="?", default="videoprism_giant.gin", help="default: %(default)s")
    parser.add_argument("--topology", default="v5p:4x4x4", help="the slice (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=2, help="of the program (default: %(default)s)")
    options = parser.parse_args()
    if options.rows < 2:
        parser.error(f"expected --rows of 2 or more, got {options.rows}")
    compiled.check_compiler()
    where = topology.parse(options.topology)
    found = {rows: estimate(options.recipe, where, rows) for rows in (1, options.rows)}
    (alone, _), (together, _) = found.values()
    student = (together - alone) / (options.rows - 1)
    lines = [[str(rows), f"{seconds:.3f}", f"{held / 2**30:.2f}"] for rows, (seconds, held) in found.items()]
    out = console.make_console()
    heads = ("rows", "serial s", "GiB a chip")
    console.table(out, heads, lines, numbers=heads)
    share = (alone - student + GROUP * student) / (GROUP * alone)
    console.say(
        out,
        f"{options.recipe}, stage 2, {where.text}: teacher pass {alone - student:.3f} s, the rest of a row "
        f"{student:.3f} s; {GROUP} rows together take {share:.2f} of {GROUP} single steps",
    )


if __name__ == "__main__":
    main()
