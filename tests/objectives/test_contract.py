"""What every objective must do; each class in the package `objectives` is found, none is named here."""

import dataclasses
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from prismlab import objectives
from prismlab.core import trees, types
from prismlab.core.train import learner, objective, objective_state

KEY = jax.random.key(3)
SMALL = {**tiny.SMALL, "pooler_heads": 2}
# A constant on all keys shifts all logits of a softmax alike: in exact arithmetic this gradient is zero.
WITHOUT_EFFECT = "attention/key/b"
TOWERS = tiny.QUICK  # what an objective does, it does with the tokens and vectors of any towers


def _discover():
    found = []
    for module in pkgutil.walk_packages(objectives.__path__, "prismlab.objectives."):
        for value in vars(importlib.import_module(module.name)).values():
            is_one = isinstance(value, type) and issubclass(value, objective.AbstractObjective)
            if is_one and value.__module__ == module.name:
                found.append(value)
    return found


def _variants(kind):
    """Each objective as it is, and once with each of its switches turned on."""
    taken = inspect.signature(kind.__init__).parameters
    off = [name for name, parameter in taken.items() if parameter.default is False]
    return [(kind, None), *((kind, switch) for switch in off)]


FOUND = [variant for kind in _discover() for variant in _variants(kind)]


@dataclasses.dataclass
class Case:
    """One objective in a learner with both towers, with everything that is compiled for it."""

    kind: type
    switch: str | None
    tree: learner.Learner
    teacher: learner.Towers
    batch: types.Batch
    score: Callable
    encode: Callable
    call: Callable

    @property
    def own(self):
        return self.tree.objectives["it"]


@functools.cache
def _case(kind, switch):
    taken = inspect.signature(kind.__init__).parameters
    small = {name: value for name, value in SMALL.items() if name in taken} | (
        {switch: True} if switch else {}
    )
    teacher = {"video": TOWERS["video"](key=jax.random.key(7))}
    tree = learner.build(TOWERS, {"it": functools.partial(kind, **small)}, teacher, key=jax.random.key(0))

    @eqx.filter_jit
    def score(both, batch):
        def total(both):
            tree, teacher = both
            return tree(batch, teacher, key=KEY)

        return eqx.filter_value_and_grad(total, has_aux=True)(both)

    @eqx.filter_jit
    def encode(tree, teacher, batch):
        return [tree.encode(view, batch, teacher, key=KEY) for view in tree.views()]

    @eqx.filter_jit
    def call(own, values, batch, key):
        return own(dict(zip(tree.views(), values)), batch, key=key)

    return Case(kind, switch, tree, teacher, tiny.batch(), score, encode, call)


@pytest.fixture(params=FOUND, ids=lambda found: "-".join([found[0].__name__, *filter(None, found[1:])]))
def case(request):
    return _case(*request.param)


def _values(result):
    (loss, named), gradients = result
    return {"loss": loss, **{k: m.value for k, m in named.items()}, **trees.flatten(gradients)}


def test_the_walk_finds_every_file_of_the_package():
    files = {module.name for module in pkgutil.walk_packages(objectives.__path__, "prismlab.objectives.")}
    assert {kind.__module__ for kind, _ in FOUND} == files


def test_views_are_hashable_and_stable(case):
    views = case.own.views()
    assert isinstance(views, frozenset)
    assert views
    assert all(isinstance(view, objective.View) for view in views)
    assert views == case.own.views()
    assert {hash(view) for view in views} == {
        hash(view) for view in _case(case.kind, case.switch).own.views()
    }


def test_loss_and_metrics_are_finite_float32_scalars(case):
    (loss, named), _ = case.score((case.tree, case.teacher), case.batch)
    assert named.keys() >= {"loss/it"}
    for name, value in {"loss": loss, **{k: m.value for k, m in named.items()}}.items():
        assert (value.dtype, value.shape) == (jnp.float32, ()), name
        assert jnp.isfinite(value), name


def test_gradient_reaches_each_own_array_and_none_of_the_teacher(case):
    _, (student, teacher) = case.score((case.tree, case.teacher), case.batch)
    own = trees.flatten(student.objectives["it"])
    assert own.keys() == trees.flatten(case.own).keys()
    trained = trees.flatten(objective_state.without(case.own))
    for name in own.keys() - trained.keys():
        np.testing.assert_array_equal(own[name], 0.0, err_msg=f"{name} is state, which no gradient trains")
    for name, gradient in ((name, own[name]) for name in trained):
        assert jnp.isfinite(gradient).all(), name
        assert name.endswith(WITHOUT_EFFECT) or (gradient != 0).any(), name
    for name, gradient in trees.flatten(teacher).items():
        np.testing.assert_array_equal(gradient, 0.0, err_msg=name)
    encoder = trees.flatten(student.towers["video"])
    assert any((gradient != 0).any() for gradient in encoder.values()), "the student learns nothing"


def test_placeholders_change_nothing(case):
    weight = jnp.array([1.0, 1.0, 0.0, 1.0])
    mix = lambda a, b: jnp.concatenate([a[:2], b[2:3], a[3:]])
    clean = eqx.tree_at(lambda batch: batch.weight, case.batch, weight)
    dirty = eqx.tree_at(lambda batch: batch.weight, jax.tree.map(mix, case.batch, tiny.batch(5)), weight)
    one, two = (_values(case.score((case.tree, case.teacher), batch)) for batch in (clean, dirty))
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], atol=1e-6, err_msg=name)


def test_a_batch_with_a_placeholder_scores_as_the_batch_without_it(case):
    padded = eqx.tree_at(lambda batch: batch.weight, case.batch, jnp.array([1.0, 1.0, 1.0, 0.0]))
    short = jax.tree.map(lambda x: x[:3], case.batch)
    seen = case.encode(case.tree, case.teacher, padded)
    whole, parts = case.call(case.own, seen, padded, KEY)
    short_seen = [jax.tree.map(lambda x: x[:3], value) for value in seen]
    wanted, wanted_parts = case.call(case.own, short_seen, short, KEY)
    np.testing.assert_allclose(whole.value, wanted.value, atol=1e-5)
    for name, part in parts.items():
        np.testing.assert_allclose(part.value, wanted_parts[name].value, atol=1e-5, err_msg=name)


def test_only_placeholders_give_zero_and_no_gradient(case):
    empty = eqx.tree_at(lambda batch: batch.weight, case.batch, jnp.zeros(4))
    (loss, _), gradients = case.score((case.tree, case.teacher), empty)
    assert float(loss) == 0.0
    for name, gradient in trees.flatten(gradients).items():
        np.testing.assert_array_equal(gradient, 0.0, err_msg=name)


def test_projecting_twice_is_projecting_once(case):
    own = case.tree.objectives["it"]
    once = own.projected()
    assert type(once) is case.kind
    assert eqx.tree_equal(once.projected(), once)
    assert eqx.tree_equal(once, own)  # initial values are in range


def test_same_key_same_value(case):
    one, two = (_values(case.score((case.tree, case.teacher), case.batch)) for _ in range(2))
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)


def test_compiled_equals_eager(case):
    seen = case.encode(case.tree, case.teacher, case.batch)
    eager, parts = case.own(dict(zip(case.tree.views(), seen)), case.batch, key=KEY)
    compiled, compiled_parts = case.call(case.own, seen, case.batch, KEY)
    np.testing.assert_allclose(eager.value, compiled.value, atol=1e-5)
    assert parts.keys() == compiled_parts.keys()
    for name, part in parts.items():
        np.testing.assert_allclose(part.value, compiled_parts[name].value, atol=1e-5, err_msg=name)


def test_low_precision_encodings_work_and_dtypes_are_never_mixed_by_accident(case):
    low = lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x
    seen = case.encode(case.tree, case.teacher, case.batch)
    with jax.numpy_dtype_promotion("strict"):
        loss, _ = case.call(case.own, jax.tree.map(low, seen), case.batch, KEY)
    assert loss.value.dtype == jnp.float32
    np.testing.assert_allclose(loss.value, case.call(case.own, seen, case.batch, KEY)[0].value, rtol=0.05)


def test_no_hidden_pixel_reaches_the_student(case):
    views = case.tree.views()
    before = case.encode(case.tree, case.teacher, case.batch)
    for index, view in enumerate(views):
        if view.tower != "video" or view.mask is None:
            continue
        tokens = before[index].tokens
        hidden = np.ones((4, tiny.TOKENS), bool)
        hidden[np.arange(4)[:, None], np.asarray(tokens.place)] = False
        assert hidden.any(), "this objective's default mask hides nothing"
        side = tiny.SIDE // tiny.PATCH
        pixels = hidden.reshape(4, tiny.FRAMES, side, side).repeat(tiny.PATCH, 2).repeat(tiny.PATCH, 3)
        video = jnp.where(pixels[..., None], 1.0 - case.batch.video, case.batch.video)
        changed = eqx.tree_at(lambda batch: batch.video, case.batch, video)
        after = case.encode(case.tree, case.teacher, changed)[index]
        np.testing.assert_array_equal(after.tokens.place, tokens.place)
        np.testing.assert_array_equal(after.tokens.x, tokens.x)
        if after.pooled is not None:
            np.testing.assert_array_equal(after.pooled, before[index].pooled)


def test_it_is_documented(case):
    module = inspect.getmodule(case.kind)
    assert "Source:" in (module.__doc__ or "") + (case.kind.__doc__ or "")
    assert "Args:" in case.kind.__doc__
    told = case.kind.__doc__
    for name in inspect.signature(case.kind.__init__).parameters:
        assert name == "self" or name in told, f"{name} is not explained"
