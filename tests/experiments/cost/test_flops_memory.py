"""FLOPs that were counted for a step of one seed stand for another seed, and for nothing else."""

import dataclasses

import cli
import pytest

from prismlab.experiments.cost import flops_memory, step_flops
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe.addresses import fingerprints, stages


@pytest.fixture
def counts(monkeypatch):
    """Return the stages whose FLOPs were counted; the n-th count is n."""
    found: list[str] = []
    monkeypatch.setattr(
        step_flops, "model_flops", lambda planned: found.append(planned.stage.name) or float(len(found))
    )
    monkeypatch.setattr(step_flops, "WORTH_STEPS", 1)
    return found


def planned(prints, seed=0, batch_size=None):
    experiment = strict.load(cli.QUICK).root
    if batch_size:
        changed = [dataclasses.replace(stage, batch_size=batch_size) for stage in experiment.stages[:1]]
        experiment = dataclasses.replace(experiment, stages=(*changed, *experiment.stages[1:]))
    return stages.plan(experiment, seed, prints)


def count(each, prints):
    return flops_memory.counted(each, None, flops_memory.place(each, prints))


def test_a_step_is_counted_once_for_all_seeds(counts, tmp_path):
    for seed in (0, 1):
        prints = fingerprints.Fingerprints(tmp_path)
        taught = planned(prints, seed)
        assert [count(each, prints) for each in taught[:2]] == [1.0, 2.0]
    assert counts == [each.stage.name for each in taught[:2]]


def test_another_batch_or_teacher_is_counted_again(counts, tmp_path):
    prints = fingerprints.Fingerprints(tmp_path)
    for batch_size in (None, 16):  # of the first stage, which teaches the second
        for each in planned(prints, batch_size=batch_size)[:2]:
            count(each, prints)
    assert len(counts) == 4


def test_code_that_counts_in_another_way_counts_again(counts, tmp_path, monkeypatch):
    prints = fingerprints.Fingerprints(tmp_path)
    first = planned(prints)[0]
    count(first, prints)
    code = prints.code
    monkeypatch.setattr(prints, "code", lambda value, always: {**code(value, always), "estimate": "new"})
    assert count(first, prints) == 2.0


@pytest.mark.parametrize("content", [b"", b"{}", b'{"flops": NaN}', b'{"flops": "many"}', b"[" * 9999])
def test_a_damaged_file_is_counted_again(counts, tmp_path, content):
    prints = fingerprints.Fingerprints(tmp_path)
    first = planned(prints)[0]
    count(first, prints)
    (path,) = tmp_path.glob("flops-*.json")
    path.write_bytes(content)
    assert count(first, prints) == 2.0
    assert count(first, prints) == 2.0


def test_what_is_known_or_too_short_is_not_counted(counts, tmp_path):
    prints = fingerprints.Fingerprints(tmp_path)
    first = planned(prints)[0]
    assert flops_memory.counted(first, 5.0, flops_memory.place(first, prints)) == 5.0
    none = dataclasses.replace(first, stage=dataclasses.replace(first.stage, steps=0))
    assert count(none, prints) is None
    assert count(first, fingerprints.Fingerprints(None)) == 1.0
    assert not list(tmp_path.glob("flops-*.json"))


def test_nothing_is_remembered_where_the_inputs_do_not_state_the_shapes(counts, tmp_path, monkeypatch):
    prints = fingerprints.Fingerprints(tmp_path)
    first, second = planned(prints)[:2]
    assert second.teacher == first
    from_a_folder = dataclasses.replace(second, teacher=tmp_path)
    accepted = dataclasses.replace(first, accepted=("prismlab.core.keys",))
    taught_by_accepted = dataclasses.replace(second, teacher=accepted)
    for each in (from_a_folder, accepted, taught_by_accepted):
        assert flops_memory.place(each, prints) is None
    assert flops_memory.place(second, prints) is not None
    monkeypatch.setattr(flops_memory.jax, "default_backend", lambda: "gpu")
    assert flops_memory.place(second, prints) is None
