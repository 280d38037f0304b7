"""Every gin file of a benchmark is read strictly, and states the protocol and the numbers of the paper."""

import pathlib
import re

import pytest

from prismlab.experiments.gin_strict import strict
from prismlab.experiments.tasks import benchmark, catalog, evaluation, multiple_choice, retrieval, zero_shot

FOLDER = pathlib.Path(catalog.__file__).parents[1] / "gin" / "eval"
FILES = sorted(path.name for path in FOLDER.glob("*.gin"))
ZERO = (retrieval.Retrieval, zero_shot.ZeroShot, multiple_choice.MultipleChoice)


def load(name, *more):
    text = (FOLDER / name).read_text(encoding="utf-8")
    made_up = [
        f"{macro}='made/up/{macro}.csv'" for macro in re.findall(r"^(\w+) = %gin.REQUIRED", text, re.M)
    ]
    return strict.load(f"eval/{name}", [*made_up, *more], (evaluation.Evaluation,)).root


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_read_strictly_with_made_up_paths(name):
    root = load(name)
    assert isinstance(root, evaluation.Evaluation)
    readers = [getattr(task, "reader", None) for task in root.tasks.values()]
    assert all(readers)


@pytest.mark.parametrize("row", [row for row in catalog.ROWS if row.gin], ids=lambda row: row.benchmark)
def test_a_file_states_the_paper_and_its_protocol(row):
    text = (FOLDER.parent / row.gin).read_text(encoding="utf-8")
    head = text[: text.index("from __gin__")]
    assert f"{row.base:g}" in head
    assert f"{row.giant:g}" in head
    assert f"prismlab eval {row.gin} " in head
    (task,) = load(pathlib.Path(row.gin).name).tasks.values()
    how = task.protocol
    assert (how.frames, how.resolution) == (16, 288)
    if isinstance(task, benchmark.Benchmark):
        assert task.head.classifier.heads == 12
        assert task.head.classifier.hidden_dim == 768
        assert how.pooling == "attention"
        assert task.stream
    else:
        assert isinstance(task, ZERO)
        assert how.views == 1


@pytest.mark.parametrize(
    ("name", "steps", "stride", "views"),
    [
        ("kinetics400", 138_101, 4, 12),
        ("moments", 154_550, 4, 12),
        ("something", 60_000, None, 3),
        ("diving48", 5_869, 4, 12),
        ("charades", 40_896, 5, 12),
        ("calms21", 40_000, 1, 3),
        ("kabr", 40_000, 5, 3),
    ],
)
def test_steps_and_views_are_those_of_videoglue(name, steps, stride, views):
    (task,) = load(f"{name}.gin").tasks.values()
    assert task.head.grid.steps == steps
    assert (task.protocol.stride, task.protocol.views) == (stride, views)


def test_a_released_model_gets_its_tokenizer_from_the_command_line():
    (task,) = load(
        "msrvtt.gin", "TOKENIZER=@tokenizer.Tokenizer()", "tokenizer.Tokenizer.model='a.model'"
    ).tasks.values()
    assert task.tokenizer.model == "a.model"
    (task,) = load("msrvtt.gin").tasks.values()
    assert task.tokenizer is None


def test_every_benchmark_of_clips_has_a_file():
    later = ("ActivityNet 1.3", "AVA 2.2", "AVA-Kinetics", "ChimpACT")
    for row in catalog.ROWS:
        assert bool(row.gin) == (row.group != "language" and row.benchmark not in later), row.benchmark
