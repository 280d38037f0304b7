"""Train the bridge between frozen features and a frozen language model; nothing else changes."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from prismlab.core import errors, keys
from prismlab.core.language import frozen_model
from prismlab.core.train import optim
from prismlab.experiments.recipe import progress
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.heads import head_grid
from prismlab.experiments.tasks.language import fitted, resampler, training_pairs


@dataclasses.dataclass(frozen=True)
class Bridge:
    """Settings of the bridge and of its training.

    Args:
        latents: length of the prefix (the paper: 256, also 128 and 64).
        heads: attention heads.
        mlp: see `resampler.Resampler`.
        optimizer: with its schedule. The paper: Adam, rate 5e-4, 1e4 steps of warm-up, linear decay.
        steps: optimizer steps (the paper: 2e5).
        batch_size: pairs a step (the paper: 256).
        longest: ids to which prompt and answer are cut.
        standardise: subtract the mean and divide by the deviation of each channel of the features first.
    """

    latents: int = 256
    heads: int = 12
    mlp: bool = True
    optimizer: optim.Optimizer = dataclasses.field(
        default_factory=lambda: optim.AdamW(optim.Schedule(5e-4, decay="linear"), clip_norm=None)
    )
    steps: int = 1000
    batch_size: int = 64
    longest: int = 128
    standardise: bool = True

    def __post_init__(self) -> None:
        for name in ("latents", "heads", "steps", "batch_size", "longest"):
            if getattr(self, name) < 1:
                raise errors.UserError(f"bridge: {name} must be at least 1, got {getattr(self, name)}")

    def build(self, dim: int, model: frozen_model.LanguageModel, *, seed: int) -> resampler.Resampler:
        """Return a bridge with random weights.

        Args:
            dim: width of the features.
            model: the language model.
            seed: the experiment's seed.

        Raises:
            UserError: the heads do not divide the width, or the prefix leaves no room in the context.
        """
        if dim % self.heads:
            raise errors.UserError(f"bridge: {self.heads} attention heads do not divide the width {dim}")
        if self.latents + self.longest > model.decoder.context:
            raise errors.UserError(
                f"bridge: expected latents + longest of at most {model.decoder.context}, the context of "
                f"{model.name}; got {self.latents} + {self.longest}"
            )
        ids = jnp.arange(min(model.decoder.vocabulary, 4096))[None]
        scale = float(jnp.sqrt(jnp.mean(jnp.square(model.decoder.embed(ids).astype(jnp.float32)))))
        return resampler.Resampler(
            dim, model.decoder.width, latents=self.latents, heads=self.heads, mlp=self.mlp, scale=scale,
            key=keys.seeded(seed, "bridge"),
        )  # fmt: skip


def loss(
    bridge: resampler.Resampler,
    decoder: Any,
    features: Float[Array, "b s d"],
    ids: Int[Array, "b n"],
    present: Bool[Array, "b n"],
    answer: Bool[Array, "b n"],
) -> Float[Array, ""]:
    """Return the mean cross-entropy over the ids of the answers.

    Args:
        bridge: the bridge; gradients reach nothing else.
        decoder: the language model's decoder.
        features: features of the clips.
        ids, present, answer: see `training_pairs.Tokens`.
    """
    arrays, static = eqx.partition(decoder, eqx.is_array)
    frozen = eqx.combine(jax.lax.stop_gradient(arrays), static)
    prefix = bridge(jax.lax.stop_gradient(features))
    # The last latent predicts the first id.
    inputs = jnp.concatenate([prefix, frozen.embed(ids[:, :-1]).astype(prefix.dtype)], axis=1)
    mask = jnp.concatenate([jnp.ones(prefix.shape[:2], bool), present[:, :-1]], axis=1)
    logits, _ = frozen.logits(inputs, mask, last=ids.shape[1])
    each = optax.softmax_cross_entropy_with_integer_labels(logits, ids)
    return jnp.sum(each * answer) / jnp.maximum(jnp.sum(answer), 1)


def fit(
    settings: Bridge,
    model: frozen_model.LanguageModel,
    features: feature_set.FeatureSet,
    tokens: training_pairs.Tokens,
    *,
    seed: int,
    blind: bool = False,
) -> fitted.Fitted:
    """Train a bridge; encoder and language model stay as they are.

    Args:
        settings: of bridge and training.
        model: the language model.
        features: features of the training clips.
        tokens: training pairs.
        seed: seed of initial weights and batches.
        blind: show zeros in place of features: the control without video.

    Raises:
        UserError: features are no tokens, or the loss was not finite.
    """
    shape = features.take(np.zeros(1, np.int64)).shape
    if len(shape) != 4:
        raise errors.UserError(
            f"bridge: expected features of tokens x width, found {list(shape[2:])}; set the protocol to "
            "pooling='attention' or 'frames', and layers=1"
        )
    shift, scale = np.zeros(shape[-1], np.float32), np.ones(shape[-1], np.float32)
    if settings.standardise:
        mean, deviation = head_grid.moments(features, np.unique(tokens.rows), settings.batch_size)
        shift, scale = mean.astype(np.float32), (1.0 / (deviation + 1e-6)).astype(np.float32)
    bridge = settings.build(shape[-1], model, seed=seed)
    optimizer = settings.optimizer.build(settings.steps)
    memory, losses = optimizer.init(eqx.filter(bridge, eqx.is_array)), []
    what = "bridge without video: training steps" if blind else "bridge: training steps"
    for step in progress.counted(range(settings.steps), what, settings.steps):
        rng = np.random.default_rng([seed, step])
        at = rng.integers(len(tokens.rows), size=settings.batch_size)
        x = fitted.shown(features, tokens.rows[at], shift, scale, blind)
        batch = (x, tokens.ids[at], tokens.present[at], tokens.answer[at])
        bridge, memory, value = _step(bridge, memory, model.decoder, batch, settings)
        losses.append(value)
    found = tuple(float(value) for value in losses)
    if not np.isfinite(found).all():
        raise errors.UserError("bridge: the loss was not finite; lower the peak of its optim.Schedule")
    return fitted.Fitted(bridge, model, shift, scale, blind, found)


@eqx.filter_jit
def _step(
    bridge: resampler.Resampler, memory: Any, decoder: Any, batch: Any, settings: Bridge
) -> tuple[resampler.Resampler, Any, Array]:
    """Return bridge and memory after a step, and the loss; compiled once for the bridge and its control."""
    trained, static = eqx.partition(bridge, eqx.is_array)
    loss_of = lambda trained: loss(eqx.combine(trained, static), decoder, *batch)
    value, gradient = jax.value_and_grad(loss_of)(trained)
    updates, memory = settings.optimizer.build(settings.steps).update(gradient, memory, trained)
    return eqx.apply_updates(bridge, updates), memory, value
