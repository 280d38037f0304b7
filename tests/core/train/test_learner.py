"""Views are shared, placeholders change nothing, initial weights do not move each other."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from prismlab.core import errors, trees, types
from prismlab.core.towers import video
from prismlab.core.train import learner, masking, metrics, objective, optim, tower_sizes
from prismlab.objectives import contrastive, global_distillation, masked

KEY = jax.random.key(11)
BOTH = {"video": tiny.video_tower, "text": tiny.text_tower}
# All three shipped kinds at once; every token visible, so that nothing is drawn by position in the batch.
WHOLE = masking.Tube(1.0)
ORDERLESS = {
    "contrastive": contrastive.Contrastive,
    "local": functools.partial(masked.MaskedModeling, weight=3.0, mask=WHOLE, **tiny.SMALL),
    "global": functools.partial(
        global_distillation.GlobalDistillation, mask=WHOLE, pooler_heads=2, **tiny.SMALL
    ),
}


@pytest.fixture(scope="module")
def teacher():
    return {"video": tiny.QUICK["video"](key=jax.random.key(7))}


@pytest.fixture(scope="module")
def built(teacher):
    return learner.build(tiny.QUICK, ORDERLESS, teacher, key=jax.random.key(0))


@pytest.fixture(scope="module")
def score(teacher):
    """Loss, metrics and gradients by path, compiled once for the whole module."""

    @eqx.filter_jit
    def run(tree, batch):
        def total(tree):
            return tree(batch, teacher, key=KEY)

        (loss, named), gradients = eqx.filter_value_and_grad(total, has_aux=True)(tree)
        return loss, {k: m.value for k, m in named.items()}, trees.flatten(gradients)

    return run


def _reorder(batch, order):
    return jax.tree.map(lambda x: x[np.asarray(order)], batch)


def test_batch_order_changes_nothing(built, score):
    batch = tiny.batch()
    loss, named, gradients = score(built, batch)
    other_loss, other_named, other_gradients = score(built, _reorder(batch, [2, 0, 3, 1]))
    np.testing.assert_allclose(loss, other_loss, rtol=1e-5)
    for name, value in named.items():
        np.testing.assert_allclose(value, other_named[name], atol=1e-5, err_msg=name)
    for name, value in gradients.items():
        np.testing.assert_allclose(value, other_gradients[name], atol=1e-5, err_msg=name)


def test_the_loss_is_the_weighted_sum(built, score):
    loss, named, _ = score(built, tiny.batch())
    wanted = named["loss/contrastive"] + 3.0 * named["loss/local"] + named["loss/global"]
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)


def test_placeholders_change_nothing_whatever_they_hold(built, score):
    batch, garbage = tiny.batch(0), tiny.batch(1)
    last = jnp.array([0.0, 0.0, 0.0, 1.0])
    swap = lambda a, b: jnp.where(last.reshape(-1, *[1] * (a.ndim - 1)) > 0, b, a)
    weight = 1.0 - last
    one = eqx.tree_at(lambda b: b.weight, batch, weight)
    two = eqx.tree_at(lambda b: b.weight, jax.tree.map(swap, batch, garbage), weight)
    for a, b in zip(jax.tree.leaves(score(built, one)), jax.tree.leaves(score(built, two)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_equal_views_are_encoded_once_and_drawn_once(monkeypatch):
    tree, teacher, calls = tiny.stage2(), tiny.teacher(), []
    plain = video.VideoTower.__call__

    def counting(self, *inputs, **options):
        calls.append("teacher" if self is teacher["video"] else "student")
        return plain(self, *inputs, **options)

    monkeypatch.setattr(video.VideoTower, "__call__", counting)
    assert len(tree.views()) == 2
    jax.eval_shape(lambda: tree(tiny.batch(), teacher, key=KEY)[0])
    assert sorted(calls) == ["student", "teacher"]


def test_a_mask_depends_on_the_view_and_the_key_not_on_who_asks(teacher):
    alone = learner.build(tiny.QUICK, {"g": tiny.STAGE2["global"]}, teacher, key=KEY)
    both = learner.build({"video": tiny.QUICK["video"]}, tiny.STAGE2, teacher, key=KEY)
    view = objective.View("video", mask=tiny.MASK)
    encode = eqx.filter_jit(lambda tree, key: tree.encode(view, tiny.batch(), None, key=key).tokens.place)
    place = lambda tree, key: np.asarray(encode(tree, key))
    np.testing.assert_array_equal(place(alone, KEY), place(both, KEY))
    assert (place(alone, KEY) != place(alone, jax.random.key(12))).any()


def test_one_more_objective_leaves_every_other_weight_as_it_was():
    local, other = {"b": tiny.STAGE2["local"]}, {"a": tiny.STAGE2["global"]}
    few = learner.build(BOTH, local, tiny.teacher(), key=KEY)
    many = learner.build(BOTH, other | local, tiny.teacher(), key=KEY)
    one_tower = learner.build({"video": tiny.video_tower}, local, tiny.teacher(), key=KEY)
    after = trees.flatten(many)
    for name, value in trees.flatten(few).items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)
    for name, value in trees.flatten(one_tower.towers).items():
        np.testing.assert_array_equal(value, after[f"towers/{name}"], err_msg=name)
    elsewhere = learner.build({"video": tiny.video_tower}, local, tiny.teacher(), key=jax.random.key(12))
    assert trees.digest(trees.flatten(elsewhere)) != trees.digest(trees.flatten(one_tower))


def test_a_teachers_encoding_carries_no_gradient():
    teacher, tree = tiny.teacher(), tiny.stage2()
    view = objective.View("video", teacher=True)

    def total(teacher):
        encoded = tree.encode(view, tiny.batch(), teacher, key=KEY)
        return jnp.sum(encoded.tokens.x) + jnp.sum(encoded.pooled)

    for gradient in jax.tree.leaves(eqx.filter_jit(eqx.filter_grad(total))(teacher)):
        np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize(
    ("towers", "objectives", "teacher", "message"),
    [
        (
            {"video": tiny.video_tower},
            tiny.STAGE1,
            None,
            r"'contrastive' needs the tower 'text'; recipe.Stage.towers",
        ),
        (
            {"video": tiny.video_tower},
            tiny.STAGE2,
            None,
            r"'(local|global)' needs a teacher; set recipe.Stage.teacher",
        ),
        ({"text": tiny.text_tower}, tiny.STAGE1, None, r"needs a tower named 'video'; it holds \['text'\]"),
        (
            {"video": tiny.video_tower},
            tiny.STAGE2,
            {"text": tiny.Line(key=KEY)},
            r"the teacher's towers hold \['text'\]",
        ),
    ],
)
def test_what_is_missing_is_named(towers, objectives, teacher, message):
    with pytest.raises(errors.UserError, match=message):
        learner.build(towers, objectives, teacher, key=KEY)


class Asks(objective.AbstractObjective):
    """Loss over one view that requests another one, or what is none."""

    weight: float
    asked: object = eqx.field(static=True)

    def __init__(self, asked, *, dims, key):
        self.weight, self.asked = 1.0, asked

    def views(self):
        return self.asked

    def __call__(self, seen, batch, *, key):
        pooled = objective.pooled(seen, objective.View("video"))
        return metrics.Mean.of(jnp.sum(pooled, axis=-1), batch.weight), {}


@pytest.mark.parametrize("asked", [frozenset({"video"}), objective.View("video"), None])
def test_a_request_that_is_no_view_is_a_users_mistake(asked):
    with pytest.raises(errors.UserError, match=r"'it': views\(\) must return a frozenset of objective.View"):
        learner.build(tiny.QUICK, {"it": functools.partial(Asks, asked)}, None, key=KEY)


def test_a_view_that_is_read_and_not_requested_is_a_users_mistake():
    masked_clip = objective.View("video", mask=masking.Tube(0.5))
    tree = learner.build(tiny.QUICK, {"it": functools.partial(Asks, frozenset({masked_clip}))}, None, key=KEY)
    with pytest.raises(
        errors.UserError, match=r"'it' reads View\(tower='video', .*does not request"
    ) as raised:
        tree(tiny.batch(), key=KEY)
    assert "\n" not in str(raised.value)


def test_a_wrong_hyperparameter_names_its_objective():
    wrong = {"mine": functools.partial(contrastive.Contrastive, temperature=-1.0)}
    with pytest.raises(errors.UserError, match=r"objective 'mine': temperature must be .*, got -1.0"):
        learner.build(BOTH, wrong, None, key=KEY)


class Sizes:
    """Takes what an objective takes, and is none."""

    def __init__(self, *, dims, key):
        del dims, key


@pytest.mark.parametrize(
    ("towers", "objectives", "message"),
    [
        (
            BOTH,
            {"a": optim.AdamW},
            r"objective 'a': expected a class .*AbstractObjective.*, found AdamW \(got an",
        ),
        (
            BOTH,
            {"a": Sizes},
            r"objective 'a': expected a class .*AbstractObjective, found Sizes; name another",
        ),
        ({"video": optim.AdamW}, {}, r"tower 'video': expected a tower, which takes key, found AdamW"),
    ],
)
def test_a_class_of_another_kind_is_named(towers, objectives, message):
    with pytest.raises(errors.UserError, match=message):
        learner.build(towers, objectives, None, key=KEY)


def test_a_teacher_that_sees_other_tokens_is_refused():
    other = video.VideoTower(functools.partial(tiny.encoder, frames=4), key=KEY)
    with pytest.raises(errors.UserError, match="the teacher has 4 frames of 16 patches, the student 2 of 16"):
        learner.build({"video": tiny.video_tower}, tiny.STAGE2, {"video": other}, key=KEY)


def test_a_tower_without_a_pooler_is_a_users_mistake():
    bare = functools.partial(tiny.video_tower, use_pooler=False)
    tree = learner.build({"video": bare, "text": tiny.text_tower}, tiny.STAGE1, None, key=KEY)
    with pytest.raises(errors.UserError, match=r"the tower 'video' gives no pooled vector.*use_pooler=True"):
        jax.eval_shape(lambda: tree(tiny.batch(), key=KEY)[0])


def test_a_tower_without_tokens_is_a_users_mistake():
    view = objective.View("video")
    with pytest.raises(errors.UserError, match=r"the tower 'video' gives no tokens.*use a tower of clips"):
        objective.tokens({view: types.Encoded(None, jnp.zeros((2, 3)))}, view)


def test_sizes_are_read_from_the_towers():
    towers = {name: make(key=KEY) for name, make in BOTH.items()}
    assert tower_sizes.dims(towers, None) == types.Dims(2, 16, 12, 8, 8, 8, 11)
    assert tower_sizes.dims({"video": towers["video"]}, tiny.teacher()).text_dim is None
