"""The graph before a run: what each node needs, who computed what is reused, and what the rest costs."""

import json

import jax
import pytest
from user_lab import ablation, finish, lines

from prismlab.experiments import main
from prismlab.experiments.launch import launch
from prismlab.experiments.preview import explain_cost, explain_graph
from prismlab.experiments.store import store, views

ROW = "'both': {}"


def test_a_graph_lists_each_node_once_after_its_parents(lab, tmp_path):
    root = ablation(lab, ROW + ", 'again': {'stage2.steps': 9}", "recipe.Ablation.seeds=(0, 1)")
    nodes = explain_graph.graph(lines(root), store.of(tmp_path))
    names = [each.name for each in nodes]
    assert len(set(names)) == len(names) == 2 * (1 + 2 + 2)
    for place, each in enumerate(nodes):
        assert set(each.needs) <= set(names[:place])
    (judge,) = [each for each in nodes if each.name.startswith("judge") and each.needs[0] == names[1]]
    assert judge.needs == (nodes[1].name,)
    assert nodes[1].needs == (nodes[0].name,)
    assert all(each.runs for each in nodes)


def test_what_another_user_computed_is_reused_by_name(lab, tmp_path):
    root = ablation(lab, ROW)
    finish(tmp_path / "shared", root)
    kept = store.Store(tmp_path / "shared", tmp_path / "w")
    views.register(kept, views.ROWS, views.Uses())
    for path in (tmp_path / "shared/stages").glob("stage1-*/stage.json"):
        theirs = {"user": "ada", "host": "away", "workdir": "/runs/ada"}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"writer": theirs}))
    (first, second, judge) = explain_graph.text(lines(root), kept, count=lambda planned: 1.0)
    assert first.startswith("reused from ada in /runs/ada stage1-s0-")
    assert second.startswith("reused stage2-s0-")
    assert "  after stage1-s0-" in second
    assert judge.startswith("reused judge-")


@pytest.mark.parametrize(
    ("done", "told"),
    [
        ([], "at least {:.2g} device-hours (at the peak of cpu)"),
        ([("other", 5.0, 2.0)], "about {:.2g} device-hours (measured on other stages)"),
        ([("other", 5.0, 2.0), ("alike", 7.0, 3.0)], "about {:.2g} device-hours (measured earlier)"),
    ],
)
def test_the_cost_comes_from_the_nearest_measurement(lab, tmp_path, monkeypatch, done, told):
    root = ablation(lab, "'one': {'stages': ('stage1',)}")
    (line,) = lines(root)
    (planned,) = line.stages
    own = explain_cost._program(planned)
    made = [
        explain_cost._Done(own if kind == "alike" else "x", None, seconds, flops)
        for kind, seconds, flops in done
    ]
    monkeypatch.setattr(explain_cost, "_finished", lambda home: made)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    steps, batch = planned.stage.steps, planned.stage.batch_size
    hours = [steps * 10.0 / 150e9 / 3600, steps * 10.0 / 2.0 / 3600, steps * batch * 7.0 / 3600][len(done)]
    text = explain_graph.text([line], store.of(tmp_path), count=lambda planned: 10.0)
    assert f"{steps * 10.0:.2g} FLOPs, " + told.format(hours) in text[0]
    assert text[-1].startswith("cost of 1 stages and 1 evaluations: ")
    assert text[-1].endswith("; 1 evaluations were never measured")
    (tmp_path / "stages" / planned.folder / "checkpoints" / str(steps - 1)).mkdir(parents=True)
    monkeypatch.setattr(explain_cost.checkpoint, "newest", lambda folder: steps - 1)
    resumed = explain_graph.text([line], store.of(tmp_path), count=lambda planned: 10.0)
    assert ": 10 FLOPs, " in resumed[0]


def test_a_look_takes_no_accelerator(lab, tmp_path, monkeypatch):
    ablation(lab, ROW)
    seen = []
    monkeypatch.setattr(launch, "run", lambda *given: seen.append(jax.config.jax_platforms) or 0)
    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", "tpu")  # devices are up already, so this selects none
    try:
        for word in ("--explain", "--dry-run"):
            words = ["ablate", str(lab.parent / "ablation.gin"), "--workdir", str(tmp_path / "w"), word]
            assert main.main(words) == 0
    finally:
        jax.config.update("jax_platforms", before)
    assert seen == ["cpu", "cpu"]
