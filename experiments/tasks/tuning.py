"""Supervised training for evaluations: fit a classifier on a frozen or trainable tower, score test clips.

Shared by `adapter` and `finetune`, which differ in the model they build and the weights they train.

Source: VideoPrism 3.1, appendix E.1; VideoGLUE appendix D (AdamW, cosine, rate 1e-4, decay 1e-5, dropout 0.5
before the classifier, label smoothing 0.1).
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, keys, trees
from prismlab.core.nn import layers, pooling
from prismlab.core.train import optim
from prismlab.data.loader import loader, source
from prismlab.data.records import record
from prismlab.experiments.tasks import mixup, probe, task


@dataclasses.dataclass(frozen=True)
class Setup:
    """Clips, label and training hyperparameters of an evaluation.

    Args:
        optimizer: with its schedule, and its layer decay where the tower is trained.
        label: key of the records' labels that holds the class; in rendered clips species, colour,
            background or motion.
        train_clips: clips of the training source to use.
        test_clips: clips of the test source to use.
        frames: t, frames spread evenly over the clip.
        resolution: side of a frame in pixels.
        steps: optimizer steps, at least 1.
        batch_size: clips per step.
        dropout: fraction of the pooled vector dropped in training, in [0, 1).
        label_smoothing: fraction of the target spread over all classes, in [0, 1).
        mix: mixup and similar augmentations; each step applies one, drawn uniformly. Empty for none.
    """

    optimizer: optim.AdamW
    label: str = "motion"
    train_clips: int = 4000
    test_clips: int = 2000
    frames: int = 16
    resolution: int = 288
    steps: int = 1000
    batch_size: int = 256
    dropout: float = 0.5
    label_smoothing: float = 0.1
    mix: tuple[mixup.Mix, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "mix", tuple(self.mix))
        for name in ("train_clips", "test_clips", "frames", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise errors.UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("dropout", "label_smoothing"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise errors.UserError(f"{name} must be in [0, 1), got {getattr(self, name)}")


class Classifier(eqx.Module):
    """Encoder, pooler and linear classifier.

    Args:
        encoder: see `encoder_of`; may have adapters added.
        pooler: features -> [b, d].
        linear: [b, d] -> logits.
        read: (encoder, clips) -> features for the pooler.
        dropout: see `Setup`.
    """

    encoder: Any
    pooler: Any
    linear: layers.Linear
    read: Callable[[Any, Array], Any] = eqx.field(static=True)
    dropout: float = eqx.field(static=True)

    def __call__(
        self, clips: Float[Array, "b t r r 3"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits; with a key, apply dropout as in training."""
        pooled = self.pooler(self.read(self.encoder, clips))
        if key is not None and self.dropout:
            kept = jax.random.bernoulli(key, 1.0 - self.dropout, pooled.shape)
            pooled = jnp.where(kept, pooled / (1.0 - self.dropout), 0.0)
        return self.linear(pooled)


def encoder_of(towers: Mapping[str, Any]) -> Any:
    """Return the factorised encoder of a stage's video tower.

    Raises:
        UserError: the tower has no encoder to adapt.
    """
    found = getattr(towers["video"], "encoder", None)
    if found is None:
        raise errors.UserError("adaptation needs a video tower with an encoder, such as video.VideoTower")
    return found


def tokens_of(encoder: Any, clips: Float[Array, "b t r r 3"]) -> Float[Array, "b s d"]:
    """Return the output tokens of an encoder, the input of a single pooler."""
    return encoder(clips).x


def pooled_once(
    encoder: Any, heads: int, hidden_dim: int | None, classes: int, dropout: float, *, key: PRNGKeyArray
) -> Classifier:
    """Return a classifier that pools an encoder's tokens with one attention pooler.

    Args:
        encoder: see `encoder_of`; may have adapters added.
        heads: attention heads of the pooler.
        hidden_dim: total width of all heads; None means the token width.
        classes: number of classes.
        dropout: see `Setup`.
        key: JAX key for the initial weights of pooler and linear layer.
    """
    dim = encoder.temporal_norm.bias.shape[-1]
    pooler = pooling.AttentionPooler(dim, heads, hidden_dim or dim, key=keys.fold(key, "pooler"))
    linear = layers.Linear(dim, classes, key=keys.fold(key, "linear"))
    return Classifier(encoder, pooler, linear, tokens_of, dropout)


def score(
    setup: Setup,
    train: source.Source,
    test: source.Source,
    build: Callable[[int, PRNGKeyArray], tuple[Classifier, Any]],
    name: str,
    pooling: str,
    *,
    seed: int,
    cache: pathlib.Path,
) -> dict[str, task.Score]:
    """Train a classifier and return its accuracy on test clips.

    Args:
        setup: clips, label and training hyperparameters.
        train: labelled training clips.
        test: labelled test clips, not trained on.
        build: (classes, key) -> the classifier and a tree of booleans, True for trained leaves.
        name: name of the evaluation; the score is called <label>_<name>.
        pooling: description of the head in the score's protocol.
        seed: the experiment's seed.
        cache: directory shared by runs.

    Raises:
        UserError: a record lacks the label, or the loss was not finite.
    """
    read = lambda home, clips: loader.read_all(
        home, cache, frames=setup.frames, resolution=setup.resolution, limit=clips
    )
    videos, records = read(train, setup.train_clips)
    unseen, asked = read(test, setup.test_clips)
    classes, targets, right = _targets(setup.label, records, asked)
    key = keys.seeded(seed, "adaptation", name)
    model, moving = build(len(classes), keys.fold(key, "build"))
    trained = fit(model, moving, videos, targets, setup, key=keys.fold(key, "fit"))
    logits = task.encode_all(trained, unseen, setup.batch_size, lambda logits: logits)
    if not np.isfinite(logits).all():
        raise errors.UserError(f"{name}: the loss was not finite; lower the peak of its optim.Schedule")
    protocol = {
        "pooling": pooling, "frames": setup.frames, "resolution": setup.resolution, "views": 1,
        "train clips per class": round(len(targets) / len(classes)), "chance": round(1 / len(classes), 4),
        "parameters trained": trees.count(eqx.filter(model, moving)),
    }  # fmt: skip
    share = float(np.mean(logits.argmax(1) == right))
    return {f"{setup.label}_{name}": task.Score(share, len(right), protocol)}


def fit(
    model: Classifier,
    moving: Any,
    videos: np.ndarray,
    targets: np.ndarray,
    setup: Setup,
    *,
    key: PRNGKeyArray,
) -> Classifier:
    """Train a classifier with cross-entropy and return it.

    Args:
        model: the classifier with its initial weights.
        moving: tree of booleans like the model, True for trained leaves.
        videos: uint8 [c, t, r, r, 3].
        targets: int [c].
        setup: optimizer, steps, batch size, label smoothing.
        key: JAX key for clip order and dropout, folded by step.
    """
    optimizer = setup.optimizer.build(setup.steps)
    arrays, still = eqx.partition(model, moving)
    still_arrays, static = eqx.partition(still, eqx.is_array)
    classes = model.linear.bias.shape[-1]

    @jax.jit
    def one(arrays: Any, memory: Any, still: Any, clips: Array, wanted: Array, key: PRNGKeyArray) -> tuple:
        def loss_of(arrays: Any) -> Array:
            whole: Any = eqx.combine(arrays, still, static)
            shown, soft = clips.astype(jnp.float32) / 255.0, jax.nn.one_hot(wanted, classes)
            if setup.mix:
                shown, soft = _mixed(setup.mix, shown, soft, keys.fold(key, "mix"))
            logits = whole(shown, key)
            soft = optax.smooth_labels(soft, setup.label_smoothing)
            return optax.softmax_cross_entropy(logits, soft).mean()

        updates, memory = optimizer.update(jax.grad(loss_of)(arrays), memory, arrays)
        return eqx.apply_updates(arrays, updates), memory

    memory = optimizer.init(arrays)
    for step in range(setup.steps):
        at = np.asarray(
            jax.random.randint(keys.fold(key, "batch", step), (setup.batch_size,), 0, len(videos))
        )
        drop = keys.fold(key, "dropout", step)
        arrays, memory = one(arrays, memory, still_arrays, videos[at], targets[at], drop)
    return eqx.combine(arrays, still)


def _mixed(mixes: tuple[mixup.Mix, ...], clips: Array, targets: Array, key: PRNGKeyArray) -> mixup.Mixed:
    ways = [lambda mix=mix: mix(clips, targets, jnp.ones(len(clips)), key=key) for mix in mixes]
    return jax.lax.switch(jax.random.randint(keys.fold(key, "which"), (), 0, len(ways)), ways)


def _targets(
    label: str, records: Sequence[record.Record], asked: Sequence[record.Record]
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Return the classes and the class indices of both sets; rendered labels use all classes of the world."""
    for each in (*records, *asked):
        if not isinstance(each.labels.get(label), str):
            raise errors.UserError(f"clip {each.key!r} has no label {label!r}; add it to the source's truth")
    classes = probe.CLASSES.get(label) or tuple(sorted({each.labels[label] for each in records}))
    unknown = sorted({each.labels[label] for each in asked} - set(classes))
    if unknown:
        raise errors.UserError(f"label {label!r}: the test clips have {unknown}, which no training clip has")
    found = [np.array([classes.index(each.labels[label]) for each in part]) for part in (records, asked)]
    return classes, found[0], found[1]
