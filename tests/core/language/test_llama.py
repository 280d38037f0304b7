"""The decoder: causal, indifferent to padding, equal with and without a cache, and its rotary positions."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.core.language import byte_pairs, decoding, frozen_model, llama

SHAPE = llama.Shape(
    vocabulary=13, width=8, layers=2, heads=4, kv_heads=2, head_width=4, mlp_width=12, context=64
)


@functools.cache
def model():
    with jax.ensure_compile_time_eval():
        made = llama.Llama.random(SHAPE, key=jax.random.key(0))
        # What follows an id is mostly the next id.
        return dataclasses.replace(made, head=jnp.roll(made.embedding, 1, axis=0))


@jax.jit
def logits(ids, mask):
    return model().logits(model().embed(ids), mask)[0]


IDS = jnp.asarray([[1, 2, 3, 4, 5, 6]], jnp.int32)
ALL = jnp.ones((1, 6), bool)


def test_a_position_sees_only_what_came_before():
    other = IDS.at[0, 4].set(9)
    changed = np.abs(logits(IDS, ALL) - logits(other, ALL)).max(-1)[0]
    assert changed[:4].max() == 0
    assert changed[4:].min() > 1e-4


def test_padding_has_no_position_and_is_not_seen():
    plain = logits(IDS, ALL)[0]
    for ids, mask, kept in (
        ([0, 0, 1, 2, 3, 4], [0, 0, 1, 1, 1, 1], [2, 3, 4, 5]),
        ([1, 2, 7, 7, 3, 4], [1, 1, 0, 0, 1, 1], [0, 1, 4, 5]),
        ([1, 2, 3, 4, 8, 8], [1, 1, 1, 1, 0, 0], [0, 1, 2, 3]),
    ):
        found = logits(jnp.asarray([ids], jnp.int32), jnp.asarray([mask], bool))[0]
        np.testing.assert_allclose(found[jnp.asarray(kept)], plain[:4], atol=1e-5)


def test_positions_matter():
    turned = IDS[:, ::-1].at[0, 5].set(6)
    same = IDS.at[0, 5].set(6)
    assert np.abs(logits(turned, ALL)[0, 5] - logits(same, ALL)[0, 5]).max() > 1e-4


def test_a_cache_gives_the_same_logits_in_pieces():
    whole = logits(IDS, ALL)

    @jax.jit
    def pieces(ids):
        cache = model().empty_cache(1, 8)
        first, cache = model().logits(model().embed(ids[:, :4]), ALL[:, :4], cache)
        second, cache = model().logits(model().embed(ids[:, 4:]), ALL[:, 4:], cache, last=1)
        return first, second

    first, second = pieces(IDS)
    np.testing.assert_allclose(first, whole[:, :4], atol=1e-5)
    np.testing.assert_allclose(second, whole[:, 5:], atol=1e-5)


def test_the_two_layouts_of_rotary_pairs_are_permutations_of_each_other():
    x = jax.random.normal(jax.random.key(1), (1, 5, 2, 8))
    at = jnp.arange(5)[None]
    order = np.arange(8).reshape(2, 4).T.reshape(-1)  # (0, 4, 1, 5, ...): halves to neighbours
    split = llama.rotate(x, at, 100.0, False)
    np.testing.assert_allclose(llama.rotate(x[..., order], at, 100.0, True), split[..., order], atol=1e-6)
    np.testing.assert_allclose(split[:, 0], x[:, 0], atol=1e-6)
    by_hand = x[0, 3, 0, 1] * np.cos(3 * 100**-0.25) - x[0, 3, 0, 5] * np.sin(3 * 100**-0.25)
    np.testing.assert_allclose(split[0, 3, 0, 1], by_hand, rtol=1e-5)


def slowly(start, steps):
    """Return greedily chosen ids after a prompt, with a pass over the whole text for each."""
    ids = list(start)
    for _ in range(steps):
        room = jnp.asarray([[*ids, *[0] * (9 - len(ids))]], jnp.int32)
        ids.append(int(logits(room, jnp.arange(9)[None] < len(ids))[0, len(ids) - 1].argmax()))
    return ids[len(start) :]


def test_greedy_decoding_equals_the_slow_definition_and_stops_at_the_end():
    first, second = slowly([1, 2], 5), slowly([3, 4, 5, 6], 5)
    end = next(token for token in first[1:] if token != first[0])
    prompts = jnp.asarray([[12, 12, 1, 2], [3, 4, 5, 6]], jnp.int32)
    mask = jnp.asarray([[0, 0, 1, 1], [1, 1, 1, 1]], bool)
    special = frozen_model.Special(end, 12)
    found = jax.jit(lambda x: decoding.greedy(model(), special, x, mask, 5))(model().embed(prompts))
    for row, said in enumerate((first, second)):
        said = said[: said.index(end)] if end in said else said
        assert found[row].tolist() == [*said, *[end] * (5 - len(said))]


def test_likelihoods_of_answers_equal_one_pass_for_each():
    prompts = jnp.asarray([[12, 1, 2], [3, 4, 5]], jnp.int32)
    mask = jnp.asarray([[0, 1, 1], [1, 1, 1]], bool)
    answers = jnp.asarray([[7, 12, 12], [8, 9, 12]], jnp.int32)
    present = jnp.asarray([[1, 1, 0], [1, 1, 1]], bool)
    found = jax.jit(lambda x: decoding.log_likelihoods(model(), x, mask, answers, present))(
        model().embed(prompts)
    )
    for row, prompt in enumerate(([1, 2], [3, 4, 5])):
        for column, answer in enumerate(([7, 12], [8, 9, 12])):
            ids = [*prompt, *answer]
            padded = jnp.asarray([[*ids, *[0] * (6 - len(ids))]], jnp.int32)
            log = jax.nn.log_softmax(logits(padded, jnp.arange(6)[None] < len(ids)))[0]
            by_hand = sum(float(log[len(prompt) + i - 1, token]) for i, token in enumerate(answer))
            assert found[row, column] == pytest.approx(by_hand, abs=1e-4)


def test_a_tokenizer_of_another_model_is_refused():
    signs = tuple(byte_pairs.byte_signs().values())
    with pytest.raises(errors.UserError, match=r"expected a tokenizer of 13 ids, found 256 .* another model"):
        frozen_model.LanguageModel(
            "small", model(), byte_pairs.BytePairs(signs, ()), frozen_model.Special(9, 9)
        )


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(errors.UserError, match="heads divisible by kv_heads and an even head_width, got"):
        llama.Shape(13, 8, 2, 3, 2, 4, 12)
    with pytest.raises(errors.UserError, match="rope_base > 0"):
        llama.Shape(13, 8, 2, 4, 2, 4, 12, rope_base=0.0)
