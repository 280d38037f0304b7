"""The contract of evaluations, as tests that a package runs on its own classes.

class TestMine(task_contract.TaskContract):
    examples = (mine.Mine(...),)
"""

import dataclasses
import inspect
import pathlib
import types
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from prismlab.experiments.kit import faults
from prismlab.experiments.tasks import task

CALL = inspect.signature(task.Task.__call__).parameters.keys()
OF_CLASSES = {"train clips per class", "chance"}
SAID = {"pooling", "frames", "views"} | OF_CLASSES


class Pixels(eqx.Module):
    """A tower whose tokens are the clip's own pixels, averaged over blocks."""

    pooler: ClassVar[str] = "all tokens"

    def __call__(self, video: Any) -> Any:
        """Return the tokens, and all of them as the vector."""
        b, t, h, w, c = video.shape
        tokens = video.reshape(b, t, 2, h // 2, 2, w // 2, c).mean((3, 5)).reshape(b, t * 4, c)
        return types.SimpleNamespace(tokens=types.SimpleNamespace(x=tokens), pooled=tokens.reshape(b, -1))


class Words(eqx.Module):
    """A tower whose vector counts the ids of a caption."""

    def __call__(self, ids: Any, paddings: Any) -> Any:
        """Return the vector."""
        del paddings
        return types.SimpleNamespace(pooled=jnp.sum(jax.nn.one_hot(ids % 24, 24), 1))


TOWERS: Mapping[str, Any] = {"video": Pixels(), "text": Words()}


def found(module: ModuleType) -> tuple[type, ...]:
    """Return the evaluations that a module defines.

    Raises:
        UserError: it defines none.
    """
    wanted = "a frozen dataclass with __call__(towers, *, seed, cache) (task.Task) defined in it"
    return faults.defined_in(module, wanted, is_task)


def is_task(kind: type) -> bool:
    """Return whether a class is an evaluation."""
    if not dataclasses.is_dataclass(kind) or issubclass(kind, eqx.Module):
        return False
    return {"seed", "cache"} <= set(inspect.signature(kind.__call__).parameters)  # type: ignore[operator]


class TaskContract:
    """Tests of evaluations; a subclass in a test file gives small examples.

    Attributes:
        kinds: the classes that must have an example.
        examples: evaluations that take a second.
        towers: what they evaluate.
        said: what the protocol of each score must state; a control may stand for the chance.
        largest: name of a metric -> its largest value; 1 for others.
    """

    kinds: ClassVar[Sequence[type]] = ()
    examples: ClassVar[Sequence[Any]] = ()
    towers: ClassVar[Mapping[str, Any]] = TOWERS
    said: ClassVar[set[str]] = SAID
    largest: ClassVar[Mapping[str, float]] = {"CIDEr-D": 10.0}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test once for each example."""
        if "example" in metafunc.fixturenames:
            examples = faults.given(type(self), "examples")
            metafunc.parametrize("example", examples, ids=[type(each).__name__ for each in examples])

    @pytest.fixture
    def cache(self, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
        """Return a cache that the tests of one class share."""
        found = tmp_path_factory.getbasetemp() / f"{type(self).__module__}-{type(self).__name__}"
        found.mkdir(exist_ok=True)
        return found

    def test_every_class_has_an_example(self) -> None:
        """No class goes untested."""
        shown = {type(each) for each in faults.given(type(self), "examples")}
        missing = [kind.__name__ for kind in self.kinds if kind not in shown]
        faults.require(not missing, f"{missing} have no example in `examples`, so nothing tests them")

    def test_it_is_a_documented_frozen_dataclass(self, example: Any) -> None:
        """It is called as task.Task says, and its fields are its identity."""
        name = type(example).__name__
        frozen = faults.is_frozen(example)
        faults.require(frozen, f"{name} must be a frozen dataclass: its fields are its identity")
        taken = inspect.signature(type(example).__call__).parameters.keys()
        faults.require(taken == CALL, f"{name}.__call__ must take {list(CALL)}, takes {list(taken)}")
        faults.require("Args:" in (type(example).__doc__ or ""), f"{name}: describe its fields under `Args:`")
        same = hash(example) == hash(dataclasses.replace(example))
        faults.require(same, f"{name}: an equal instance has another hash; every field must be a plain value")

    def test_it_gives_scores_with_their_protocol_and_the_same_again(
        self, example: Any, cache: pathlib.Path
    ) -> None:
        """Scores are in [0, 1], say how they were measured, and repeat."""
        name = type(example).__name__
        scores = example(self.towers, seed=0, cache=cache)
        faults.require(scores, f"{name} gives no scores for towers of clips and captions")
        if hasattr(example, "metric_names"):
            named = set(example.metric_names())
            faults.require(set(scores) == named, f"{name} gives {sorted(scores)}, names {sorted(named)}")
        for metric, score in scores.items():
            most = self.largest.get(metric.partition(",")[0], 1)
            faults.require(
                isinstance(score, task.Score) and 0 <= score.value <= most and score.n > 0,
                f"{name}: {metric} must be a task.Score in [0, {most}] over an item or more, got "
                f"{score!r:.200}",
            )
            # What a score is to be compared with: its chance, or a control with a score of its own.
            has_control = "," in metric or any(fact.endswith("control") for fact in score.protocol)
            wanted = self.said - OF_CLASSES if has_control else self.said
            missing = sorted(wanted - set(score.protocol))
            faults.require(not missing, f"{name}: the protocol of {metric} does not say {missing}")
        again = example(self.towers, seed=0, cache=cache)
        faults.require(again == scores, f"{name} gives other scores the second time; draw from `seed` alone")
