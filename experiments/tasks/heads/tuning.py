"""Tuning: a head that trains adapters in the encoder, or all of it, and reads clips instead of features.

Source: VideoPrism 3.1, appendix E.1; VideoGLUE appendix D (AdamW, cosine, rate 1e-4, decay 1e-5, dropout 0.5
before the classifier, label smoothing 0.1; end to end with layer decay .75 in localisation).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, PRNGKeyArray

from prismlab.core import errors, keys, trees
from prismlab.core.train import optim
from prismlab.experiments.recipe import progress
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.heads import batches, classifier, mixup, probe
from prismlab.experiments.tasks.heads import targets as targets_module
from prismlab.experiments.tasks.interface import protocols


@runtime_checkable
class Change(Protocol):
    """What is trained of an encoder; implementations are frozen dataclasses (`adapter.Adapters`)."""

    @property
    def words(self) -> str:
        """What is trained, for tables."""
        ...

    def __call__(self, encoder: Any, *, key: PRNGKeyArray) -> tuple[Any, Any]:
        """Return the encoder to train and a tree of booleans like it, True for trained arrays.

        Args:
            encoder: the factorised encoder of a video tower.
            key: a typed JAX key for new parameters.
        """
        ...


@dataclasses.dataclass(frozen=True)
class EndToEnd:
    """All weights of the encoder."""

    words = "everything"

    def __call__(self, encoder: Any, *, key: PRNGKeyArray) -> tuple[Any, Any]:
        """Return the encoder and True for each of its parameters."""
        del key
        return encoder, jax.tree.map(eqx.is_inexact_array, encoder)


class Tuned(eqx.Module):
    """Encoder, attention pooler and linear classifier."""

    encoder: Any
    head: classifier.AttentionHead

    def __call__(
        self, clips: Float[Array, "b t r r 3"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits; with a key, apply dropout as in training."""
        return self.head(self.encoder(clips).x, key)


@dataclasses.dataclass(frozen=True)
class Tuning:
    """Train an encoder, or adapters in it, with an attention pooler and a linear classifier.

    The given encoder is not modified. There is one setting and no grid, so nothing is held out. Clips are
    decoded for every step, so features are streamed (`keeping.Keeping.mode`).

    Args:
        change: what is trained, `adapter.Adapters` or `EndToEnd`.
        optimizer: with its schedule, and its layer decay where the encoder is trained.
        steps: optimizer steps, at least 1.
        batch_size: clips a step, and at once in testing.
        heads: attention heads of the pooler, 12 at base.
        hidden_dim: total width of all heads; None for the width of the tokens.
        dropout: fraction of the pooled vector dropped in training, in [0, 1).
        label_smoothing: fraction of the target spread over all classes, in [0, 1); single labels only.
        mix: mixup and similar augmentations; each step applies one, drawn uniformly. Empty for none.
        seeds: models trained; scores are averaged over them.
    """

    change: Change = dataclasses.field(default_factory=EndToEnd)
    optimizer: optim.Optimizer = dataclasses.field(default_factory=optim.AdamW)
    steps: int = 1000
    batch_size: int = 256
    heads: int = 12
    hidden_dim: int | None = None
    dropout: float = 0.5
    label_smoothing: float = 0.1
    mix: Sequence[mixup.Mix] = ()
    seeds: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "mix", tuple(self.mix))
        for name in ("steps", "batch_size", "heads", "seeds"):
            if getattr(self, name) < 1:
                raise errors.UserError(f"tuning: {name} must be at least 1, got {getattr(self, name)}")
        for name in ("dropout", "label_smoothing"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise errors.UserError(f"tuning: {name} must be in [0, 1), got {getattr(self, name)}")

    def check_frame(self, how: protocols.Protocol, mode: str) -> None:
        """Check before any clip is read that the head gets clips.

        Args:
            how: the protocol of the benchmark.
            mode: how features are kept.

        Raises:
            UserError: features are kept, or pooled before the head.
        """
        if mode != "streamed":
            raise errors.UserError(
                f"tuning: the encoder changes in training, so features cannot be kept, got {mode!r}; set "
                "keeping.Keeping.mode to 'streamed'"
            )
        if how.pooling != "attention" or how.layers != 1:
            raise errors.UserError(
                f"tuning: the head pools the tokens of the last layer, got pooling={how.pooling!r} and "
                f"layers={how.layers}; set them to 'attention' and 1"
            )

    def predict(
        self, train: feature_set.Encoded, test: feature_set.Encoded, measure: probe.Measure, *, seed: int
    ) -> probe.Predictions:
        """Train a model for each head seed and predict the test items; `measure` is unused.

        Raises:
            UserError: features are not streamed, the tower has no encoder, or the loss was not finite.
        """
        del measure
        encoder = encoder_of(_streamed(train.features).encoder.tower)
        targets = targets_module.Targets.of(train.found)
        scores, trained = [], 0
        for number in range(self.seeds):
            key = keys.fold(keys.seeded(seed, "tuning"), "head", number)
            model, moving = self.build(encoder, len(train.found.classes), key=keys.fold(key, "build"))
            trained = trees.count(eqx.filter(model, moving))
            passes = [_streamed(each) for each in (train.features, *train.augmented)]
            model = self.fit(model, moving, passes, targets, seed=seed, key=keys.fold(key, "fit"))
            found = self._outputs(model, _streamed(test.features), targets)
            if not np.isfinite(found).all():
                raise errors.UserError(
                    "tuning: the loss was not finite; lower the peak of its optim.Schedule"
                )
            scores.append(found)
        facts = {
            "tuned": self.change.words, "parameters trained": trained, "head seeds": self.seeds,
            "train items": len(train.found), "selected on": "nothing, one setting was trained",
        }  # fmt: skip
        return probe.Predictions(np.stack(scores), facts)

    def build(self, encoder: Any, classes: int, *, key: PRNGKeyArray) -> tuple[Tuned, Any]:
        """Return the model and a tree of booleans like it, True for trained arrays."""
        changed, moving = self.change(encoder, key=keys.fold(key, "change"))
        dim = encoder.temporal_norm.bias.shape[-1]
        head = classifier.AttentionHead(
            dim, classes, heads=self.heads, hidden_dim=probe.width(self.hidden_dim or dim, self.heads),
            dropout=self.dropout, key=keys.fold(key, "head"),
        )  # fmt: skip
        return Tuned(changed, head), Tuned(moving, jax.tree.map(eqx.is_inexact_array, head))

    def fit(
        self,
        model: Tuned,
        moving: Any,
        passes: Sequence[feature_set.Streamed],
        targets: targets_module.Targets,
        *,
        seed: int,
        key: PRNGKeyArray,
    ) -> Tuned:
        """Train a model and return it.

        Args:
            model: the model with its initial weights.
            moving: tree of booleans like the model, True for trained arrays.
            passes: the clips of the training items in each pass; a batch is read from one pass at random.
            targets: their labels.
            seed: seed of batches.
            key: a typed JAX key for dropout and mixing, folded by step.
        """
        optimizer = self.optimizer.build(self.steps)
        arrays, still = eqx.partition(model, moving)
        memory = optimizer.init(arrays)
        rows, views = np.arange(len(passes[0])), passes[0].encoder.how.views
        for step in progress.counted(range(self.steps), "encoder and head: training steps", self.steps):
            at, view = batches.drawn(rows, views, self.batch_size, seed, step)
            chosen = passes[int(np.random.default_rng([seed, step, 1]).integers(len(passes)))]
            clips = chosen.clips(at)[np.arange(len(at)), view]
            labels = jnp.asarray(targets.array[at])
            drawn = clips, labels, keys.fold(key, "step", step)
            arrays, memory = _step(arrays, memory, still, *drawn, self, targets.bounds)
        return eqx.combine(arrays, still)

    def _outputs(
        self, model: Tuned, test: feature_set.Streamed, targets: targets_module.Targets
    ) -> Float32[np.ndarray, "n c"]:
        """Return probabilities, averaged over the views of an item."""
        views = test.encoder.how.views
        step = max(1, self.batch_size // views)
        parts = []
        starts = range(0, len(test), step)
        for start in progress.counted(starts, "encoder and head: batches of clips scored", len(starts)):
            rows = np.minimum(np.arange(start, start + step), len(test) - 1)  # of one compiled shape
            clips = test.clips(rows)
            found = np.asarray(_probabilities(model, clips.reshape(-1, *clips.shape[2:]), targets.bounds))
            parts.append(found.reshape(step, views, -1).mean(axis=1)[: len(test) - start])
        return np.concatenate(parts)


@eqx.filter_jit
def _step(
    arrays: Any, memory: Any, still: Any, clips: Any, labels: Any, key: Any, settings: Tuning, bounds: Any
) -> tuple[Any, Any]:
    """Return what is trained and its memory after a step; compiled once for models and data of a shape."""
    targets = targets_module.Targets(labels, bounds)

    def loss_of(arrays: Any) -> Array:
        whole: Any = eqx.combine(arrays, still)
        shown, soft = clips.astype(jnp.float32) / 255.0, targets.soft(labels)
        if settings.mix:
            shown, soft = mixed(settings.mix, shown, soft, keys.fold(key, "mix"))
        logits = whole(shown, keys.fold(key, "dropout")).astype(jnp.float32)
        return targets.soft_loss(logits[None], soft, settings.label_smoothing)[0]

    updates, memory = settings.optimizer.build(settings.steps).update(
        jax.grad(loss_of)(arrays), memory, arrays
    )
    return eqx.apply_updates(arrays, updates), memory


@eqx.filter_jit
def _probabilities(model: Tuned, clips: Any, bounds: tuple[tuple[int, int], ...]) -> Array:
    logits = model(clips.astype(jnp.float32) / 255.0)
    return targets_module.probabilities(logits.astype(jnp.float32), bounds)


def encoder_of(tower: Any) -> Any:
    """Return the factorised encoder of a video tower.

    Raises:
        UserError: the tower has no encoder to tune.
    """
    found = getattr(tower, "encoder", None)
    if found is None:
        raise errors.UserError("tuning needs a video tower with an encoder, such as video.VideoTower")
    return found


def mixed(mixes: Sequence[mixup.Mix], clips: Array, targets: Array, key: PRNGKeyArray) -> mixup.Mixed:
    """Apply one of several ways of mixing, drawn uniformly."""
    ways = [lambda mix=mix: mix(clips, targets, jnp.ones(len(clips)), key=key) for mix in mixes]
    return jax.lax.switch(jax.random.randint(keys.fold(key, "which"), (), 0, len(ways)), ways)


def _streamed(features: feature_set.FeatureSet) -> feature_set.Streamed:
    if not isinstance(features, feature_set.Streamed):
        raise errors.UserError(
            f"tuning: expected clips, got kept features ({type(features).__name__}); set "
            "keeping.Keeping.mode to 'streamed'"
        )
    return features
