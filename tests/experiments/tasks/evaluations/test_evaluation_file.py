"""Ablations take the tasks of any evaluation file, and train as they did without."""

import pathlib
import re

import pytest

from prismlab.core import errors
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import describe, recipe
from prismlab.experiments.tasks.evaluations import catalog, evaluation_file

GIN = pathlib.Path(catalog.__file__).parents[2] / "gin"
FILES = sorted({row.gin for row in catalog.ROWS} | {"eval/world.gin", "eval/world_localisation.gin"})
OWN = {"ablation_fig4.gin": "{'K400': %K400, 'SSv2': %SSV2}", "reproduce_small.gin": "{'probe': %PROBE}"}


def given(file):
    """Return made-up bindings of all that a file requires."""
    text = (GIN / file).read_text(encoding="utf-8")
    paths = [f"{name}='x.csv'" for name in re.findall(r"^(\w+) = %gin.REQUIRED", text, re.M)]
    if "LANGUAGE='x.csv'" in paths:
        paths.remove("LANGUAGE='x.csv'")
        paths += ["LANGUAGE=@models.GgufFile()", "models.GgufFile.path='x.gguf'"]
    return paths


@pytest.mark.parametrize("base", OWN)
def test_an_ablation_takes_every_evaluation_and_trains_as_before(base, tmp_path):
    plain = describe.describe(strict.load(base).root.base.stages)
    scopes = [f"e{number}/evaluation_file.tasks" for number, _ in enumerate(FILES)]
    lines = [
        "from __gin__ import dynamic_registration",
        f"include '{base}'",
        "from prismlab.experiments.recipe import recipe",
        "from prismlab.experiments.tasks.evaluations import evaluation_file",
        f"recipe.Experiment.tasks = @{scopes[-1]}()",
    ]
    for number, (scope, file) in enumerate(zip(scopes, FILES)):
        beside = f"@{scopes[number - 1]}()" if number else OWN[base]
        lines += [
            f"{scope}.file = {file!r}",
            f"{scope}.bindings = {tuple(given(file))!r}",
            f"{scope}.beside = {beside}",
        ]
    path = tmp_path / "all.gin"
    path.write_text("\n".join(lines) + "\n")
    root = strict.load(str(path), (), (recipe.Ablation,)).root
    assert describe.describe(root.base.stages) == plain
    assert {"AVA", "Kinetics-400", "motions in time", "captions, 5 options"} <= set(root.base.tasks)
    assert len(root.base.tasks) > 30


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(errors.UserError, match=r"kabr\.gin: expected names of its own .* found 'KABR'"):
        evaluation_file.tasks(file="eval/kabr.gin", bindings=given("eval/kabr.gin"), beside={"KABR": None})
    with pytest.raises(errors.UserError, match="VIDEOS"):
        evaluation_file.tasks(file="eval/kabr.gin")
