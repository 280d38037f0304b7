"""Every shipped full-scale recipe compiles for real TPU slices, on a machine that has none (`make test-tpu`).

On v5p each stage of both sizes is compiled to machine code, on the other chips the base's stage 2 (`whole`).
Else the compiler is stopped once it has decided on all buffers and collectives, which is where a step that
does not fit or does not partition fails. A step that needs more than a small chip's memory is told as such,
with the bytes: an answer too, but not on v5p.
"""

import pytest

from prismlab.experiments.gin_strict import strict
from prismlab.experiments.plan import choices, compiled

FILES = ("videoprism_base.gin", "videoprism_giant.gin", "ablation_fig4.gin")
SLICES = ("v5p:4x4x4", "v6e:16x16", "v5e:16x16")
SECONDS = 3600.0

pytestmark = [pytest.mark.slow, pytest.mark.tpu]


def whole(file, stage, topology):
    """Return whether a step is compiled to machine code, which takes minutes instead of one.

    Rows of the ablation differ from the base only in their objectives: buffers are enough.
    """
    if topology.startswith("v5p"):
        return file != "ablation_fig4.gin"
    return (file, stage) == ("videoprism_base.gin", "stage2")


def cases():
    """Yield (file, row, stage, topology, whole) of every stage that compiles differently."""
    seen = set()
    for file in FILES:
        for job in choices.jobs(strict.load(file, []).root):
            mark = choices.shape_of(job.stage)
            for topology in SLICES:
                if (mark, topology) not in seen:
                    seen.add((mark, topology))
                    name = f"{file.removesuffix('.gin')}-{job.row}-{job.stage.name}-{topology}"
                    machine_code = whole(file, job.stage.name, topology)
                    yield pytest.param(file, job.row, job.stage, topology, machine_code, id=name)


def pytest_generate_tests(metafunc):
    # Reading every full-scale recipe takes seconds: only if these tests were asked for.
    asked = metafunc.config.getoption("-m")
    found = list(cases()) if "tpu" in asked and "not tpu" not in asked else []
    metafunc.parametrize(("file", "row", "stage", "topology", "machine_code"), found)


def test_a_full_scale_step_compiles(file, row, stage, topology, machine_code):
    pytest.importorskip("libtpu", reason="the optional extra `tpu` is not installed")
    asked = compiled.Request(file, (), row, stage.name, topology, stage.batch_size, whole=machine_code)
    answer = compiled.run(asked, SECONDS)
    assert answer.bytes is not None, answer.problem
    assert "rematerialization" not in answer.problem
    if machine_code:
        assert answer.fits, answer.problem
        assert answer.report["code"] > 0
    assert answer.bytes < 2**40
