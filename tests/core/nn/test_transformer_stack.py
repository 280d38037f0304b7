"""A stack is its blocks in turn, however it is compiled."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors, keys
from prismlab.core.nn import layers, transformer_stack

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 8)), jnp.float32)
PADDINGS = jnp.array([[0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0, 0.0]])


@functools.cache
def _value_and_grad(**options):
    model = transformer_stack.Stack(2, 8, 2, 16, key=KEY, **options)

    def loss(model, x):
        y = model(x, PADDINGS)
        return (y * jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)).sum(), y

    (_, y), gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))(model, X)
    return [y, *jax.tree.leaves(gradient)]


@eqx.filter_jit
def _values(model, x, paddings=None):
    return model(x, paddings)


@pytest.mark.parametrize("policy", ["pre", pytest.param("primer_hybrid", marks=pytest.mark.slow)])
def test_scan_equals_unrolled_in_values_and_gradients(policy):
    scanned = _value_and_grad(norm_policy=policy)
    unrolled = _value_and_grad(norm_policy=policy, scan=False, remat="none")
    for ours, theirs in zip(scanned, unrolled):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("policy", layers.NORM_POLICIES)
def test_norms_stand_where_the_policy_says(policy):
    block = transformer_stack.Block(8, 2, 16, norm_policy=policy, key=KEY)
    # A bias of its own for each norm, or swapping the two would go unseen.
    block = eqx.tree_at(lambda b: (b.attention_norm.bias, b.feed_norm.bias), block, (X[0, 0], X[0, 1]))

    @jax.jit
    def both(x):
        norm, feed_norm = block.attention_norm, block.feed_norm
        if policy == "pre":
            y = x + block.attention(norm(x))
            wanted = y + block.feed(feed_norm(y))
        elif policy == "post":
            y = x + norm(block.attention(x))
            wanted = y + feed_norm(block.feed(y))
        elif policy == "post_skip":
            y = norm(x + block.attention(x))
            wanted = feed_norm(y + block.feed(y))
        else:
            y = x + block.attention_post_norm(block.attention(norm(x)))
            wanted = y + block.feed_post_norm(block.feed(feed_norm(y)))
        return block(x), wanted

    got, wanted = both(X)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_a_stack_is_its_blocks_in_turn():
    @eqx.filter_jit
    def one(key, x):
        block = transformer_stack.Block(8, 2, 16, key=key)
        return block(x, PADDINGS, allowed=transformer_stack.key_padding(PADDINGS))

    x = X
    for index in range(2):
        x = one(keys.fold(KEY, index), x)
    model = transformer_stack.Stack(2, 8, 2, 16, key=KEY)
    np.testing.assert_allclose(_values(model, X, PADDINGS), x, atol=1e-5)


def test_remat_changes_no_number_but_what_is_kept():
    def kept(remat):
        model = transformer_stack.Stack(2, 8, 2, 16, remat=remat, key=KEY)
        leaves = jax.tree.leaves(jax.eval_shape(lambda x: jax.vjp(lambda x: model(x, PADDINGS), x)[1], X))
        return sum(leaf.size for leaf in leaves)

    assert kept("nothing_saveable") < kept("dots_saveable") < kept("everything_saveable")
    wanted = _value_and_grad(norm_policy="pre", scan=False, remat="none")
    for ours, theirs in zip(_value_and_grad(remat="dots_saveable"), wanted):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


def test_adding_a_layer_leaves_the_others_weights():
    two, three = (transformer_stack.Stack(count, 8, 2, 16, key=KEY) for count in (2, 3))
    for short, long in zip(jax.tree.leaves(two), jax.tree.leaves(three)):
        np.testing.assert_array_equal(short, long[:2])


def test_padded_tokens_are_not_looked_at():
    model = transformer_stack.Stack(2, 8, 2, 16, key=KEY)
    changed = jnp.where(PADDINGS[..., None] == 1.0, 7.0, X)
    seen = np.asarray(PADDINGS) == 0.0
    np.testing.assert_array_equal(
        np.asarray(_values(model, X, PADDINGS))[seen], np.asarray(_values(model, changed, PADDINGS))[seen]
    )


def test_a_small_residual_scale_starts_near_the_identity():
    near = _values(transformer_stack.Stack(2, 8, 2, 16, residual_scale=1e-3, key=KEY), X)
    far = _values(transformer_stack.Stack(2, 8, 2, 16, key=KEY), X)
    assert jnp.abs(near - X).max() < 0.02 < jnp.abs(far - X).max()


def test_unknown_names_and_counts_are_refused():
    with pytest.raises(errors.UserError, match="'dots_saveable'"):
        transformer_stack.Stack(2, 8, 2, 16, remat="all", key=KEY)
    with pytest.raises(errors.UserError, match="'primer_hybrid'"):
        transformer_stack.Stack(2, 8, 2, 16, norm_policy="prenorm", key=KEY)
    with pytest.raises(errors.UserError, match="at least one layer; got 0"):
        transformer_stack.Stack(0, 8, 2, 16, key=KEY)


def test_only_matrices_are_named_for_weight_decay():
    paths = jax.tree_util.tree_leaves_with_path(transformer_stack.Stack(2, 8, 2, 16, key=KEY))
    for path, leaf in paths:
        name = path[-1].name
        assert name in {"kernel", "w", "bias", "b", "scale"}
        assert (name in {"kernel", "w"}) == (bool(jnp.any(leaf != 0.0)))
