"""A user's package `adlab` with a loss and an evaluation, an ablation of it, and what a run says."""

import json
import pathlib
import shutil
import tempfile

import cli

from prismlab.core import code_fingerprint
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.preview import explain, explain_graph
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.run import engine, rows
from prismlab.experiments.store import store

LAB = {
    "__init__.py": "",
    "losses.py": '''
        """A loss of the user's own."""
        from prismlab.objectives import contrastive
        from adlab import shared

        def build(*, dims, key):
            """Return the loss."""
            return contrastive.Contrastive(weight=shared.WEIGHT, dims=dims, key=key)
        ''',
    "shared.py": "WEIGHT = 1.0  # of the loss\n",
    "judge.py": '''
        import dataclasses
        from prismlab.experiments.tasks import task

        @dataclasses.dataclass(frozen=True)
        class Judge:
            """A score that needs no clips."""
            gain: float = 1.0

            def __call__(self, towers, *, seed, cache):
                return {"score": task.Score(0.5 * self.gain, 4, {})}
        ''',
}
ABLATION = """
from adlab import judge
from adlab import losses
JUDGE = @judge.Judge()
recipe.Experiment.tasks = {'judge': %JUDGE}
recipe.Ablation.name = 'a'
recipe.Ablation.base = @recipe.Experiment()
recipe.Ablation.rows = {ROWS}
"""
ROWS = """
    'own loss': {'stages': ('stage1',), 'stage1.objectives': {'own': @losses.build}},
    'one': {'stages': ('stage1',)},
    'both': {},
"""


def edit(path: pathlib.Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def ablation(lab: pathlib.Path, rows: str = ROWS, *bindings: str) -> recipe.Ablation:
    file = lab.parent / "ablation.gin"
    file.write_text(pathlib.Path(cli.QUICK).read_text(encoding="utf-8") + ABLATION.replace("ROWS", rows))
    return strict.load(str(file), bindings).root


def finish(workdir: pathlib.Path, root: recipe.Ablation) -> None:
    """Write what a finished run leaves, without training."""
    for line in lines(root):
        for each in line.stages:
            write_stage(workdir / "stages" / each.folder, each)
        for judged in line.evaluations:
            write_scores(workdir / "scores" / f"{judged.address}.json", judged)


def lines(root: recipe.Ablation) -> list[stages.Line]:
    """Resolve as a new process would."""
    code_fingerprint.forget()
    prints = fingerprints.Fingerprints(cli.CACHE)
    return stages.lines(root.experiments(), root.seeds, prints)


def told(workdir: pathlib.Path, root: recipe.Ablation) -> list[str]:
    """Return the lines about what runs, after a check that exactly this runs."""
    planned, kept = lines(root), store.of(workdir)
    nodes = explain_graph.graph(planned, kept)
    assert {each.address for each in nodes if each.runs} == ran(kept, planned)
    assert explain.is_finished(planned, kept) == (not any(each.runs for each in nodes))
    found = explain.text(planned, kept)
    return [line for line in found if not line.endswith(": reused")]


def ran(kept: store.Store, planned: list[stages.Line]) -> set[str]:
    """Return the addresses of what the engine trains and evaluates, in a copy of the store."""
    found: list[str] = []

    def train(planned: stages.Planned) -> None:
        home = runner._folder(planned)
        if stage_folder.left_of(home) is not None:
            found.append(planned.address)
            write_stage(home, planned)

    def evaluate(planned: stages.Planned, each: stages.Evaluation, towers: dict) -> None:
        found.append(each.address)
        write_scores(runner.kept.score_path(each.address), each)

    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "copy"
        shutil.copytree(kept.home, copy) if kept.home.exists() else copy.mkdir()
        runner = engine.Engine(copy, cli.CACHE, console.silent(), kept=store.Store(copy, copy))
        runner.train, runner._evaluate, runner.towers = train, evaluate, lambda planned: {}  # type: ignore
        rows.run(runner, planned)
    assert len(found) == len(set(found))  # each once
    return set(found)


def write_stage(home: pathlib.Path, planned: stages.Planned) -> None:
    (home / "checkpoints" / str(planned.stage.steps)).mkdir(parents=True, exist_ok=True)
    (home / "stage.json").write_text(json.dumps({"inputs": dict(planned.inputs)}))
    (home / "done.json").write_text(json.dumps({"step": planned.stage.steps, "digest": ""}))


def write_scores(path: pathlib.Path, judged: stages.Evaluation) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"name": judged.name, "inputs": dict(judged.inputs), "metrics": {}}), encoding="utf-8"
    )


ALL_REUSED = ["all 3 stages and 3 evaluations are reused"]
