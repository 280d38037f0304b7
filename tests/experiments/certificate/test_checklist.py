"""The paragraph for a paper's appendix says seeds, intervals, compute, hardware, versions and code state."""

from prismlab.experiments.certificate import checklist, contents, environment
from prismlab.experiments.statistics import results_table

MACHINE = environment.Environment(
    {}, {"python": "3.11.7", "jax": "0.10.2"}, "TPU v5e", 8, 2, "Xeon", 4, "Linux x"
)


def stage(seed: int, changes: str | None = None, flops: float | None = 5e15) -> contents.Certificate:
    tried = (contents.Attempt(0, 5, 450.0, 8, "killed", 0.0), contents.Attempt(5, 9, 450.0, 8, "done", 0.0))
    return contents.Certificate(
        "stage", "stage1", {}, "a" * 16, {}, MACHINE, environment.Source("c" * 40, changes, 0, "d" * 64),
        attempts=tried, cost=contents.Cost(1000, 1e12, flops, 7200.0, 360.0), notes={"seed": seed},
    )  # fmt: skip


def test_everything_that_checklists_ask_for_is_said():
    cell = results_table.Cell((0.5, 0.6), 0.55, (0.5, 0.6), {}, method="t over seeds")
    table = results_table.Table(rows=(results_table.Row("a", (0, 1), {"m": cell}),))
    assert checklist.text([stage(0), stage(1)], table) == (
        "We trained 2 stages and ran 0 evaluations with seeds 0, 1. Training saw 2,000 clips, repeats "
        "included. Intervals of single rows: t over seeds. Training and evaluation took 4.0 device-hours in "
        "all, of which 12.0 device-minutes were failed or repeated (4 attempts at 2 stages). Training took "
        "1.00e+16 model FLOPs. Hardware: 8 x TPU v5e on 2 hosts (Xeon, 4 cores used, Linux x). Software: "
        "python 3.11.7, jax 0.10.2 (requirements.lock, sha256 dddddddddddd). Code: commit cccccccccccc, "
        "without uncommitted changes."
    )


def test_changes_and_what_was_not_counted_are_said():
    table = contents.Certificate(
        "table", "t", {}, "", {}, MACHINE, environment.Source("c" * 40), notes={"accepted_code": ["Row a!"]}
    )
    text = checklist.text([stage(0, "e" * 64, None), stage(1), table], None)
    assert text.endswith("Row a!.")
    assert "with uncommitted changes in 1 of 3 results" in text
    assert "1 of these stages took 5.00e+15 model FLOPs; others were not counted" in text
