"""Sources are prepared before a device is busy, but for what an idle core can render beside a stage."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.data.loader import source
from prismlab.data.world import world
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe.checks import check
from prismlab.experiments.run import warm_up


class Empty(world.World):
    """A world of no clips."""

    def __len__(self):
        return 0


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(check, "abstract_stages", lambda experiment: None)
    return strict.load("smoke.gin").root.experiments()


@pytest.fixture
def opened(monkeypatch):
    """Return the worlds that were rendered and opened."""
    found = []
    monkeypatch.setattr(source.Rendered, "render", lambda self, cache, progress: None)
    monkeypatch.setattr(source.Rendered, "open", lambda self, cache: found.append(self.world) or [0])
    return found


def prepare(rows, tmp_path, **how):
    warm_up.everything(rows, tmp_path, console.silent(), **how)


def test_all_sources_are_prepared_once(rows, opened, tmp_path):
    prepare(rows, tmp_path)
    trained = warm_up.of_stages(rows)
    judged = warm_up.of_tasks(rows, trained)
    assert judged
    assert opened == [each.world for each in (*trained.values(), *judged.values())]


def test_an_evaluation_beside_the_first_stage_renders_what_it_alone_reads(rows, opened, tmp_path):
    prepare(rows, tmp_path, beside=True)
    assert opened == [each.world for each in warm_up.of_stages(rows).values()]


@pytest.mark.parametrize("beside", [False, True])
def test_an_empty_source_stops_the_run_at_once(rows, opened, tmp_path, beside, monkeypatch):
    task = next(each for row in rows.values() for each in row.tasks.values() if hasattr(each, "test"))
    empty = dataclasses.replace(task.test, world=Empty(**dataclasses.asdict(task.test.world)))
    changed = {
        label: dataclasses.replace(row, tasks={"probe": dataclasses.replace(task, test=empty)})
        for label, row in rows.items()
    }
    monkeypatch.setattr(source.Rendered, "open", lambda self, cache: range(len(self.world)))
    with pytest.raises(errors.UserError, match=r"probe's test.* is empty; add clips"):
        prepare(changed, tmp_path, beside=beside)
