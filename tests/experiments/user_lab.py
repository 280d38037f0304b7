"""A user's package `adlab` with a loss and an evaluation, an ablation of it, and what a run says."""

import json
import pathlib

import cli

from prismlab.core import code_fingerprint
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import fingerprints, recipe, stages
from prismlab.experiments.run import explain, store

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
    file.write_text(pathlib.Path(cli.TINY).read_text(encoding="utf-8") + ABLATION.replace("ROWS", rows))
    return strict.load(str(file), bindings).root


def finish(workdir: pathlib.Path, root: recipe.Ablation) -> None:
    """Write what a finished run leaves, without training."""
    for line in lines(root):
        for each in line.stages:
            home = workdir / "stages" / each.folder
            (home / "checkpoints" / str(each.stage.steps)).mkdir(parents=True, exist_ok=True)
            (home / "stage.json").write_text(json.dumps({"inputs": dict(each.inputs)}))
            (home / "done.json").write_text(json.dumps({"step": each.stage.steps, "digest": ""}))
        (workdir / "scores").mkdir(exist_ok=True)
        for each in line.evaluations:
            path = workdir / "scores" / f"{each.address}.json"
            path.write_text(json.dumps({"name": each.name, "inputs": dict(each.inputs), "metrics": {}}))


def lines(root: recipe.Ablation) -> list[stages.Line]:
    """Resolve as a new process would."""
    code_fingerprint.forget()
    prints = fingerprints.Fingerprints(cli.CACHE)
    return stages.lines(root.experiments(), root.seeds, prints)


def told(workdir: pathlib.Path, root: recipe.Ablation) -> list[str]:
    """Return the lines about what runs."""
    found = explain.text(lines(root), store.of(workdir))
    return [line for line in found if not line.endswith(": reused")]


ALL_REUSED = ["all 3 stages and 3 evaluations are reused"]
