"""Text from a frozen language model: greedy decoding with a key-value cache, and likelihoods of answers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from prismlab.core.language import frozen_model


def greedy(
    decoder: Any,
    special: frozen_model.Special,
    embeddings: Float[Array, "b n d"],
    mask: Bool[Array, "b n"],
    steps: int,
) -> Int[Array, "b s"]:
    """Decode greedily: the most likely id at each step, until every text has ended.

    Args:
        decoder: the language model's decoder.
        special: its special ids.
        embeddings: the prompt; its last position is no padding.
        mask: False for padding.
        steps: largest number of ids.

    Returns:
        int32 [b, steps], filled with the end id after the end of a text.
    """
    batch, count, _ = embeddings.shape
    logits, cache = decoder.logits(embeddings, mask, decoder.empty_cache(batch, count + steps), last=1)
    first = jnp.argmax(logits[:, 0], axis=-1).astype(jnp.int32)
    found = jnp.full((batch, steps), special.end, jnp.int32)

    def unfinished(state: Any) -> Any:
        step, token, _, _, ended = state
        return (step < steps) & ~jnp.all(ended | (token == special.end))

    def one(state: Any) -> Any:
        step, token, cache, found, ended = state
        ended = ended | (token == special.end)
        found = found.at[:, step].set(jnp.where(ended, special.end, token))
        logits, cache = decoder.logits(decoder.embed(token[:, None]), ~ended[:, None], cache)
        return step + 1, jnp.argmax(logits[:, 0], axis=-1).astype(jnp.int32), cache, found, ended

    start = (jnp.zeros((), jnp.int32), first, cache, found, jnp.zeros(batch, bool))
    made: Array = jax.lax.while_loop(unfinished, one, start)[3]
    return made


def log_likelihoods(
    decoder: Any,
    embeddings: Float[Array, "b n d"],
    mask: Bool[Array, "b n"],
    answers: Int[Array, "c m"],
    answer_mask: Bool[Array, "c m"],
) -> Float[Array, "b c"]:
    """Return the log-likelihood of each answer after each prompt, summed over the answer's ids.

    The prompt is read once; its keys and values are shared by all answers.

    Args:
        decoder: the language model's decoder.
        embeddings: the prompts; their last position is no padding.
        mask: False for padding.
        answers: ids of the answers, each with the end id, so that no answer is a part of another.
        answer_mask: False for padding, at the end.
    """
    batch, count, _ = embeddings.shape
    number, length = answers.shape
    logits, cache = decoder.logits(embeddings, mask, decoder.empty_cache(batch, count + length), last=1)
    first = jax.nn.log_softmax(logits[:, 0])[:, answers[:, 0]]
    if length == 1:
        return first

    def again(leaf: Array, axis: int) -> Array:
        return jnp.repeat(leaf, number, axis=axis)

    shared = eqx.tree_at(
        lambda c: (c.keys, c.values, c.mask),
        cache,
        (again(cache.keys, 1), again(cache.values, 1), again(cache.mask, 0)),
    )

    def tiled(x: Array) -> Array:
        return jnp.tile(x, (batch, 1))

    inputs, kept = decoder.embed(tiled(answers[:, :-1])), tiled(answer_mask[:, :-1])
    later, _ = decoder.logits(inputs.astype(embeddings.dtype), kept, shared)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(later), tiled(answers[:, 1:])[..., None], -1)[..., 0]
    rest = jnp.sum(chosen * tiled(answer_mask[:, 1:]), axis=1).reshape(batch, number)
    return first + rest
