"""A trained bridge: generate captions and answers with it, and rank the answers of a closed vocabulary."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32

from prismlab.core import trees
from prismlab.core.language import decoding, frozen_model
from prismlab.experiments.recipe import progress
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.language import resampler, training_pairs


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained bridge.

    Args:
        bridge: its weights.
        model: the language model.
        shift, scale: standardisation of the features, [d] each.
        blind: True if features were replaced by zeros, the control without video.
        losses: training loss of each step.
    """

    bridge: resampler.Resampler
    model: frozen_model.LanguageModel
    shift: Float32[np.ndarray, " d"]
    scale: Float32[np.ndarray, " d"]
    blind: bool
    losses: tuple[float, ...]

    def shown(self, features: feature_set.FeatureSet, rows: np.ndarray) -> Float32[np.ndarray, "n s d"]:
        """Return what the bridge sees of clips: their first view, standardised, or zeros if it is blind."""
        return shown(features, rows, self.shift, self.scale, self.blind)

    @property
    def numbers(self) -> int:
        """Number of trained parameters."""
        return trees.count(self.bridge)

    def generate(
        self, features: feature_set.FeatureSet, asked: Sequence[tuple[int, str]], tokens: int, batch: int
    ) -> list[str]:
        """Return the greedily decoded text after each prompt.

        Args:
            features: features of the clips.
            asked: (row, prompt) of each text.
            tokens: largest number of ids.
            batch: prompts decoded at once.
        """
        found: list[str] = []
        for x, ids, present, count in self._batches(features, asked, batch):
            given = self.bridge, self.model.decoder, x, ids, present
            made = np.asarray(_decoded(*given, self.model.special, tokens))
            found += [self.model.text(each) for each in made[:count].tolist()]
        return found

    def rank(
        self,
        features: feature_set.FeatureSet,
        asked: Sequence[tuple[int, str]],
        answers: Sequence[str],
        batch: int,
        at_once: int = 64,
    ) -> Float32[np.ndarray, "q k"]:
        """Return the log-likelihood of each answer after each prompt, summed over its ids and the end.

        Args:
            features: features of the clips.
            asked: (row, prompt) of each question.
            answers: the closed vocabulary.
            batch: prompts read at once.
            at_once: answers that share a program; more need more memory.
        """
        listed = [training_pairs.answer_ids(each, self.model) for each in answers]
        size = max(map(len, listed))
        count = -(-len(listed) // at_once) * at_once
        ids = np.full((count, size), self.model.special.pad, np.int32)
        present = np.zeros(ids.shape, bool)
        for row, each in enumerate(listed):
            ids[row, : len(each)] = each
            present[row, : len(each)] = True

        found = []
        for x, prompt, mask, kept in self._batches(features, asked, batch):
            parts = [
                _likelihoods(self.bridge, self.model.decoder, x, prompt, mask, ids[at : at + at_once],
                             present[at : at + at_once])
                for at in range(0, count, at_once)
            ]  # fmt: skip
            found.append(np.concatenate([np.asarray(part) for part in parts], axis=1)[:kept, : len(listed)])
        return np.concatenate(found)

    def _batches(
        self, features: feature_set.FeatureSet, asked: Sequence[tuple[int, str]], batch: int
    ) -> Iterator[Any]:
        """Yield (features, prompt ids, their mask, count) of batches of one shape."""
        ids, present = training_pairs.prompts([prompt for _, prompt in asked], self.model)
        rows = np.asarray([row for row, _ in asked], np.int64)
        starts = range(0, len(rows), batch)
        for start in progress.counted(starts, "bridge: batches of prompts answered", len(starts)):
            take = np.arange(start, min(start + batch, len(rows)))
            padded = np.concatenate([take, np.repeat(take[-1:], batch - len(take))])
            yield self.shown(features, rows[padded]), ids[padded], present[padded], len(take)


@eqx.filter_jit
def _decoded(
    bridge: Any,
    decoder: Any,
    x: Array,
    ids: Array,
    present: Array,
    special: frozen_model.Special,
    tokens: int,
) -> Array:
    inputs, mask = prompted(bridge, decoder, x, ids, present)
    return decoding.greedy(decoder, special, inputs, mask, tokens)


@eqx.filter_jit
def _likelihoods(bridge: Any, decoder: Any, x: Any, prompt: Any, mask: Any, ids: Any, present: Any) -> Array:
    inputs, mask = prompted(bridge, decoder, x, prompt, mask)
    return decoding.log_likelihoods(decoder, inputs, mask, ids, present)


def prompted(
    bridge: resampler.Resampler, decoder: Any, x: Array, ids: Array, present: Array
) -> tuple[Float[Array, "b n w"], Bool[Array, "b n"]]:
    """Return the inputs of the language model and their mask: prefix, then prompt."""
    prefix = bridge(x)
    inputs = jnp.concatenate([prefix, decoder.embed(ids).astype(prefix.dtype)], axis=1)
    return inputs, jnp.concatenate([jnp.ones(prefix.shape[:2], bool), present], axis=1)


def shown(
    features: feature_set.FeatureSet, rows: np.ndarray, shift: np.ndarray, scale: np.ndarray, blind: bool
) -> Float32[np.ndarray, "n s d"]:
    """Return the first view of clips, standardised, or zeros."""
    if blind:
        one = features.take(rows[:1]).shape
        return np.zeros((len(rows), *one[2:]), np.float32)
    found: np.ndarray = (features.take(rows)[:, 0] - shift) * scale
    return found
