"""The contract of training objectives, as tests that a package runs on its own classes.

class TestMine(objective_contract.ObjectiveContract):
    kinds = objective_contract.found(mine)
"""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prismlab.core import trees
from prismlab.core.train import objective, objective_state
from prismlab.experiments.kit import faults, hidden_pixels, objective_case, strategies

# A constant on all keys shifts all logits of a softmax alike: in exact arithmetic this gradient is zero.
WITHOUT_EFFECT = "attention/key/b"
EXAMPLE = strategies.DrawnBatch((1, 2, 3, 4), (1, 2, 3, 4), (1.0,) * strategies.BATCH)
PROPERTY = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def found(module: ModuleType) -> tuple[type, ...]:
    """Return the objectives that a module defines.

    Raises:
        UserError: it defines none.
    """
    wanted = "a subclass of objective.AbstractObjective that is defined in it"
    is_one = lambda each: issubclass(each, objective.AbstractObjective) and not inspect.isabstract(each)
    return faults.defined_in(module, wanted, is_one)


def _rows(tree: Any, chosen: Any) -> Any:
    # Chosen by numpy, which compiles no program for each shape.
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[chosen]), tree)


def _values(result: Any) -> dict[str, Any]:
    (loss, named), gradients = result
    return {"loss": loss, **{k: m.value for k, m in named.items()}, **trees.flatten(gradients)}


def _means(result: Any) -> dict[str, Any]:
    loss, parts = result
    return {"loss": loss.value, **{name: part.value for name, part in parts.items()}}


class ObjectiveContract:
    """Tests of objectives; a subclass in a test file says which.

    Attributes:
        kinds: the classes.
        small: arguments that make an instance small; each class is given those that it takes.
        sees_all: classes that are meant to predict from the intact clip beside a masked view of it.
        switches: True tests only what has a switch turned on, False only what has none, None both.
    """

    kinds: ClassVar[Sequence[type]] = ()
    small: ClassVar[Mapping[str, Any]] = objective_case.SMALL
    sees_all: ClassVar[Sequence[type]] = ()
    switches: ClassVar[bool | None] = None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test once for each variant of each class."""
        if "variant" in metafunc.fixturenames:
            listed = objective_case.variants(faults.given(type(self), "kinds"))
            listed = [each for each in listed if self.switches in (None, each[1] is not None)]
            names = ["-".join([kind.__name__, *filter(None, [switch])]) for kind, switch in listed]
            metafunc.parametrize("variant", listed, ids=names)

    @pytest.fixture
    def case(self, variant: tuple[type, str | None]) -> objective_case.Case:
        """Return the variant, built and compiled once."""
        return objective_case.build(*variant, self.small)

    def test_views_are_hashable_and_stable(self, case: objective_case.Case) -> None:
        """Views are a set of objective.View, the same at each call."""
        views = case.own.views()
        faults.require(
            isinstance(views, frozenset)
            and views
            and all(isinstance(each, objective.View) for each in views),
            f"{case}.views() must return a frozenset of objective.View that is not empty, got {views!r}",
        )
        faults.require(views == case.own.views(), f"{case}.views() must return equal views at each call")

    def test_loss_and_metrics_are_finite_float32_scalars(self, case: objective_case.Case) -> None:
        """The loss and each metric are finite float32 scalars."""
        (loss, named), _ = case.score((case.tree, case.teacher), EXAMPLE.batch)
        for name, value in {"loss": loss, **{k: m.value for k, m in named.items()}}.items():
            faults.require(
                (value.dtype, value.shape) == (jnp.float32, ()) and jnp.isfinite(value),
                f"{case}: {name} must be a finite float32 scalar, got {value.dtype} {value.shape} = {value}",
            )

    def test_gradient_reaches_each_own_array_and_none_of_the_teacher(self, case: objective_case.Case) -> None:
        """What is trained gets a gradient; the frozen teacher gets none."""
        _, (student, teacher) = case.score((case.tree, case.teacher), EXAMPLE.batch)
        own = trees.flatten(student.objectives["it"])
        trained = trees.flatten(objective_state.without(case.own))
        for name in own.keys() - trained.keys():
            faults.require(
                not (own[name] != 0).any(),
                f"{case}: a gradient reaches its state {name}; state is marked with objective_state.STATE "
                "and changes in `advanced` alone",
            )
        for name, gradient in ((name, own[name]) for name in trained):
            faults.require(jnp.isfinite(gradient).all(), f"{case}: the gradient of {name} is not finite")
            faults.require(
                name.endswith(WITHOUT_EFFECT) or (gradient != 0).any(),
                f"{case}: no gradient reaches its parameter {name}, so it is never trained; use it in the "
                "loss, remove it, or mark it with objective_state.STATE",
            )
        for name, gradient in trees.flatten(teacher).items():
            faults.require(
                not (gradient != 0).any(),
                f"{case}: a gradient reaches {name} of the frozen teacher; stop it (jax.lax.stop_gradient)",
            )
        encoder = trees.flatten(student.towers["video"])
        faults.require(
            any((gradient != 0).any() for gradient in encoder.values()),
            f"{case}: no gradient reaches the video tower, so the encoder learns nothing",
        )

    @PROPERTY
    @given(drawn=strategies.batches(paddings=True), other=st.integers(1, 99))
    def test_padding_examples_change_nothing(
        self, case: objective_case.Case, drawn: strategies.DrawnBatch, other: int
    ) -> None:
        """The content of examples of weight 0 changes neither loss nor gradient."""
        dirty = drawn.with_others_at_padding(other)
        one, two = (_values(case.score((case.tree, case.teacher), each.batch)) for each in (drawn, dirty))
        faults.require_close(
            two,
            one,
            f"{case} counts padding examples: its result changes with the content of examples of weight 0; "
            "weigh each example with batch.weight (metrics.Mean.of(values, batch.weight))",
        )

    @PROPERTY
    @given(drawn=strategies.batches(paddings=False))
    def test_a_batch_with_a_padding_example_scores_as_without_it(
        self, case: objective_case.Case, drawn: strategies.DrawnBatch
    ) -> None:
        """The loss is a mean over examples that count, not over the batch."""
        padded = dataclasses.replace(drawn, weights=(1.0, 1.0, 1.0, 0.0)).batch
        short = _rows(padded, slice(3))
        seen = case.encode(case.tree, case.teacher, padded)
        whole = _means(case.call(case.own, seen, padded, objective_case.KEY))
        wanted = _means(case.call(case.own, _rows(seen, slice(3)), short, objective_case.KEY))
        faults.require_close(
            whole,
            wanted,
            f"{case} counts padding examples: a batch scores otherwise with an example of weight 0 than "
            "without it; divide by the sum of batch.weight, not by the size of the batch (metrics.Mean.of)",
        )

    def test_only_padding_examples_give_zero_and_no_gradient(self, case: objective_case.Case) -> None:
        """A batch of padding examples alone gives 0."""
        empty = dataclasses.replace(EXAMPLE, weights=(0.0,) * strategies.BATCH)
        (loss, _), gradients = case.score((case.tree, case.teacher), empty.batch)
        faults.require(float(loss) == 0.0, f"{case}: a batch of padding examples alone gives {loss}, not 0")
        for name, gradient in trees.flatten(gradients).items():
            faults.require(
                not (gradient != 0).any(),
                f"{case}: a batch of padding examples alone has a gradient in {name}",
            )

    @PROPERTY
    @given(drawn=strategies.batches(paddings=False), order=st.permutations(tuple(range(strategies.BATCH))))
    def test_the_order_of_the_batch_changes_nothing(
        self, case: objective_case.Case, drawn: strategies.DrawnBatch, order: Sequence[int]
    ) -> None:
        """Examples that change places change nothing."""
        seen = case.encode(case.tree, case.teacher, drawn.batch)
        wanted = _means(case.call(case.own, seen, drawn.batch, objective_case.KEY))
        exchange = lambda tree: _rows(tree, np.asarray(order))
        found = _means(case.call(case.own, exchange(seen), exchange(drawn.batch), objective_case.KEY))
        faults.require_close(
            found,
            wanted,
            f"{case} depends on the order of the batch: its result changes when examples change places, with "
            "equal batch.index; treat all examples alike, and draw random numbers by batch.index",
            1e-4,
        )

    def test_projecting_twice_is_projecting_once(self, case: objective_case.Case) -> None:
        """`projected` is idempotent, and initial values are in range."""
        once = case.own.projected()
        faults.require(type(once) is case.kind, f"{case}.projected() must return a {case.kind.__name__}")
        faults.require(
            eqx.tree_equal(once.projected(), once), f"{case}.projected() must change nothing the second time"
        )
        faults.require(eqx.tree_equal(once, case.own), f"{case}: initial values must be in their range")

    def test_same_key_same_value(self, case: objective_case.Case) -> None:
        """All randomness comes from the key."""
        one, two = (_values(case.score((case.tree, case.teacher), EXAMPLE.batch)) for _ in range(2))
        faults.require_close(two, one, f"{case}: equal keys give other values; draw from `key` alone", 0.0)

    def test_compiled_equals_eager(self, case: objective_case.Case) -> None:
        """A compiled program computes what Python does."""
        seen = case.encode(case.tree, case.teacher, EXAMPLE.batch)
        eager = _means(case.own(dict(zip(case.tree.views(), seen)), EXAMPLE.batch, key=objective_case.KEY))
        compiled = _means(case.call(case.own, seen, EXAMPLE.batch, objective_case.KEY))
        faults.require_close(compiled, eager, f"{case}: the compiled loss differs from the one of Python")

    def test_low_precision_encodings_work_and_dtypes_are_never_mixed_by_accident(
        self, case: objective_case.Case
    ) -> None:
        """bfloat16 encodings give a float32 loss near the exact one."""
        low = lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x
        seen = case.encode(case.tree, case.teacher, EXAMPLE.batch)
        with jax.numpy_dtype_promotion("strict"):
            loss, _ = case.call(case.own, jax.tree.map(low, seen), EXAMPLE.batch, objective_case.KEY)
        exact = case.call(case.own, seen, EXAMPLE.batch, objective_case.KEY)[0]
        faults.require_close({"loss": loss.value}, {"loss": exact.value}, f"{case} in bfloat16", 0.05)
        faults.require(loss.value.dtype == jnp.float32, f"{case}: the loss must be float32 in bfloat16 too")

    def test_no_hidden_pixel_reaches_the_student(self, case: objective_case.Case) -> None:
        """What a mask hides reaches no encoding of the masked view."""
        batch = EXAMPLE.batch
        before, views = case.encode(case.tree, case.teacher, batch), case.tree.views()
        for view in views:
            if view.tower != "video" or view.mask is None:
                continue
            index = views.index(view)
            hidden = hidden_pixels.hidden_grid(before[index])
            faults.require(hidden.any(), f"{case}: the default mask {view.mask} hides nothing")
            video = jnp.where(hidden_pixels.pixels_of(hidden), 1.0 - batch.video, batch.video)
            changed = eqx.tree_at(lambda batch: batch.video, batch, video)
            after = case.encode(case.tree, case.teacher, changed)[index]
            same = eqx.tree_equal(after, before[index])
            faults.require(same, f"{case} leaks hidden pixels: the tokens of {view} depend on them")

    def test_hidden_pixels_reach_the_loss_in_targets_alone(self, case: objective_case.Case) -> None:
        """No prediction reads what a mask hides, past the views: from the batch or from the teacher."""
        found = None if case.kind in self.sees_all else hidden_pixels.fault(case, EXAMPLE.batch)
        faults.require(found is None, f"{found}")

    def test_nothing_is_trained_on_the_intact_clip_beside_a_masked_view(
        self, case: objective_case.Case
    ) -> None:
        """No gradient flows through an intact clip that shows what a masked view hides."""
        views = [view for view in case.tree.views() if view.tower == "video" and not view.teacher]
        if case.kind in self.sees_all or len({view.mask is None for view in views}) < 2:
            return
        batch = EXAMPLE.batch
        seen = case.encode(case.tree, case.teacher, batch)
        arrays, static = eqx.partition(seen, eqx.is_inexact_array)

        def loss(arrays: Any) -> Any:
            return case.call(case.own, eqx.combine(arrays, static), batch, objective_case.KEY)[0].value

        gradients = eqx.filter_grad(loss)(arrays)
        for index, view in enumerate(case.tree.views()):
            intact = view in views and view.mask is None
            reached = intact and any((leaf != 0).any() for leaf in jax.tree.leaves(gradients[index]))
            faults.require(
                not reached,
                f"{case} leaks hidden pixels: it is trained through the intact clip ({view}) beside a masked "
                "view of it; take targets from View('video', teacher=True) or stop their gradient, or list "
                "the class in `sees_all` if this is meant",
            )

    def test_it_is_documented(self, case: objective_case.Case) -> None:
        """Source, arguments and their meaning are in the docstring."""
        module, docstring = inspect.getmodule(case.kind), case.kind.__doc__ or ""
        has_source = "Source:" in ((module.__doc__ or "") if module else "") + docstring
        faults.require(has_source, f"{case}: say where it comes from (`Source: ...`) in the docstring")
        faults.require("Args:" in docstring, f"{case}: describe its arguments under `Args:` in the docstring")
        for name in inspect.signature(case.kind).parameters:
            faults.require(name in docstring, f"{case}: the docstring does not explain the argument {name}")
