"""Attentive probe: train an attention pooler and a linear classifier on frozen tokens.

Labels of appearance are species, colour and background. Motion is scored over its 8 classes, and within pairs
of opposite motions (right or left), which cannot be distinguished without the order of the frames.

Departures from the paper's protocol, chosen so that a head converges in seconds: tokens are standardised per
channel, the learning rates are 3e-3 and 1e-2 (the paper: 1e-4 to 5e-5 with warm-up), and there is no dropout,
label smoothing, augmentation or averaging of views.

Source: VideoPrism 3.1, appendix E.1 (attention pooler with one query, linear classifier, AdamW, cosine).
"""

import dataclasses
import pathlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from prismlab.core import errors, keys, types
from prismlab.core.nn import layers, pooling
from prismlab.core.train import learner
from prismlab.data.loader import loader, source
from prismlab.data.records import record
from prismlab.data.world import truth
from prismlab.experiments.tasks import task

CLASSES: dict[str, tuple[str, ...]] = {
    "species": truth.SPECIES,
    "colour": truth.COLOURS,
    "background": truth.BACKGROUNDS,
    "motion": truth.MOTIONS,
}


class Head(eqx.Module):
    """Attention pooler followed by a linear classifier."""

    pooler: pooling.AttentionPooler
    linear: layers.Linear

    def __init__(self, dim: int, heads: int, hidden_dim: int, classes: int, *, key: PRNGKeyArray):
        self.pooler = pooling.AttentionPooler(dim, heads, hidden_dim, key=keys.fold(key, "pooler"))
        self.linear = layers.Linear(dim, classes, key=keys.fold(key, "linear"))

    def __call__(self, tokens: Float[Array, "b s d"]) -> Float[Array, "b c"]:
        """Return the logits."""
        return self.linear(self.pooler(tokens))


@dataclasses.dataclass(frozen=True)
class AttentiveProbe:
    """Train one head per label on frozen tokens; report accuracies on test clips.

    Args:
        train: rendered clips with ground truth for training.
        test: rendered clips with ground truth for testing, from another stream.
        labels: any of species, colour, background, motion.
        train_clips: clips of `train` to use; one in eight is held out to select the learning rate.
        test_clips: clips of `test` to use.
        frames: t, frames spread evenly over the clip.
        resolution: side of a frame in pixels.
        heads: attention heads of the pooler.
        hidden_dim: total width of all heads; None means the token width (the paper's 768 at base).
        steps: optimizer steps of a head.
        batch_size: clips per step, and per batch when encoding.
        learning_rates: candidates, trained in parallel.
        weight_decay: weight decay of AdamW.
        head_seeds: heads trained from as many seeds, each with its own initial weights and clip order; scores
            are means over them, so that they vary less by the head.
        whiten: whiten the tokens first, as a control for how much a linear layer before the probe would
            help; off in the paper.
    """

    train: source.Source
    test: source.Source
    labels: tuple[str, ...] = ("species", "colour", "background", "motion")
    train_clips: int = 5000
    test_clips: int = 3000
    frames: int = 8
    resolution: int = 288
    heads: int = 4
    hidden_dim: int | None = None
    steps: int = 600
    batch_size: int = 128
    learning_rates: tuple[float, ...] = (3e-3, 1e-2)
    weight_decay: float = 1e-4
    head_seeds: int = 3
    whiten: bool = False

    def __post_init__(self) -> None:
        unknown = [label for label in self.labels if label not in CLASSES]
        if unknown:
            raise errors.UserError(f"labels must be among {sorted(CLASSES)}, got {unknown}")
        if self.head_seeds < 1:
            raise errors.UserError(f"head_seeds must be at least 1, got {self.head_seeds}")
        if self.train_clips < 8 or self.test_clips < 1 or self.steps < 1:
            raise errors.UserError(
                "expected train_clips >= 8 (one in eight is held out), test_clips >= 1 and steps >= 1"
            )

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        suffix = "_whitened" if self.whiten else ""
        names = [
            name
            for label in self.labels
            for name in ([label, "reversal", "reversal_xy"] if label == "motion" else [label])
        ]
        return tuple(name + suffix for name in names)

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return the accuracy of each label, and for motion also within pairs of opposite motions.

        Args:
            towers: frozen encoders; only "video" is read.
            seed: seed of the heads' initial weights and clip order.
            cache: directory shared by runs.
        """
        tokens, labels, _ = self._features(towers["video"], self.train, self.train_clips, cache)
        test_tokens, test_labels, names = self._features(towers["video"], self.test, self.test_clips, cache)
        shift, scale = _scaling(tokens, self.whiten)
        tokens, test_tokens = (_scale(x, shift, scale) for x in (tokens, test_tokens))
        held = len(tokens) // 8
        logits = self._fit(tokens, labels, held, test_tokens, key=keys.seeded(seed, "probe"))
        scores = {}
        for index, label in enumerate(self.labels):
            right = test_labels[label]
            answer = logits[:, index, :, : len(CLASSES[label])]
            protocol = {
                "pooling": "attention pooler" + (", whitened tokens" if self.whiten else ""),
                "frames": self.frames, "views": 1,
                "train clips per class": round((len(tokens) - held) / len(CLASSES[label])),
                "learning rates tried": list(self.learning_rates),
                "heads averaged": self.head_seeds,
                "chance": round(1 / len(CLASSES[label]), 4),
            }  # fmt: skip
            suffix = "_whitened" if self.whiten else ""
            scores[label + suffix] = _score(answer.argmax(-1) == right, names, protocol)
            if label == "motion":
                rows = np.arange(len(right))
                ahead = answer[:, rows, right] > answer[:, rows, right ^ 1]
                straight = np.flatnonzero(right < 4)  # right, left, down, up
                half = {**protocol, "chance": 0.5, "classes": "the clip's own reversal pair"}
                scores["reversal" + suffix] = _score(ahead, names, half)
                half = {**half, "classes": "right/left and down/up only"}
                kept = [names[row] for row in straight]
                scores["reversal_xy" + suffix] = _score(ahead[:, straight], kept, half)
        return scores

    def _features(
        self, tower: types.Tower, home: source.Source, clips: int, cache: pathlib.Path
    ) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
        videos, records = loader.read_all(
            home, cache, frames=self.frames, resolution=self.resolution, limit=clips
        )
        tokens = task.encode_all(tower, videos, self.batch_size, lambda encoded: encoded.tokens.x)
        names = [each.key for each in records]
        return tokens, {label: _classes(records, label) for label in self.labels}, names

    def _fit(
        self,
        tokens: np.ndarray,
        labels: dict[str, np.ndarray],
        held: int,
        test: np.ndarray,
        *,
        key: PRNGKeyArray,
    ) -> np.ndarray:
        """Train a head for each head seed, label and learning rate; return the best heads' test logits.

        Returns:
            float [h, labels, clips, classes]; the learning rate of a label is that of the best held-out
            accuracy, averaged over head seeds.
        """
        widest = max(len(CLASSES[label]) for label in self.labels)
        counts = jnp.asarray([len(CLASSES[label]) for label in self.labels])
        rates = jnp.asarray(self.learning_rates)
        targets = jnp.stack([jnp.asarray(labels[label]) for label in self.labels])
        seeds = jnp.arange(self.head_seeds)
        head = lambda i: Head(
            tokens.shape[-1],
            self.heads,
            self.hidden_dim or tokens.shape[-1],
            widest,
            key=keys.fold(key, "head", i),
        )
        # The heads of the first seed are numbered from 0, those of the second follow.
        heads = eqx.filter_vmap(eqx.filter_vmap(head))(
            jnp.arange(self.head_seeds * len(self.labels)).reshape(self.head_seeds, -1)
        )
        grid = jax.tree.map(lambda x: jnp.repeat(x, len(rates), axis=1), heads)
        each = eqx.filter_vmap(lambda head, x: head(x), in_axes=(eqx.if_array(0), None))
        logits_of = eqx.filter_vmap(each, in_axes=(eqx.if_array(0), 0))  # its own clips for each head seed
        allowed = jnp.arange(widest) < jnp.repeat(counts, len(rates))[:, None]
        mask = lambda logits: jnp.where(allowed[:, None], logits, -1e9)

        tokens_on_device, places = jnp.asarray(tokens), jnp.repeat(targets, len(rates), axis=0)
        rate = jnp.tile(rates, len(self.labels))
        optimizer = optax.adamw(1.0, weight_decay=self.weight_decay)
        schedule = optax.cosine_decay_schedule(1.0, self.steps)

        def loss_of(grid: Head, at: Int[Array, "h b"]) -> Float[Array, ""]:
            logits = mask(logits_of(grid, tokens_on_device[at]))
            right = jnp.moveaxis(places[:, at], 0, 1)
            return jnp.sum(optax.softmax_cross_entropy_with_integer_labels(logits, right).mean(-1))

        def clips_of(step: Int[Array, ""], seed: Int[Array, ""]) -> Int[Array, " b"]:
            drawn = keys.fold(keys.fold(key, "batch", step), "head seed", seed)
            return jax.random.randint(drawn, (self.batch_size,), held, len(tokens))

        def one(carry: tuple, step: Int[Array, ""]) -> tuple[tuple, None]:
            grid, memory = carry
            gradient = eqx.filter_grad(loss_of)(grid, jax.vmap(lambda seed: clips_of(step, seed))(seeds))
            updates, memory = optimizer.update(gradient, memory, grid)
            # All heads share one AdamW; each head's learning rate scales its update.
            shaped = lambda u: u * (rate * schedule(step)).reshape(1, -1, *[1] * (u.ndim - 2))
            return (eqx.apply_updates(grid, jax.tree.map(shaped, updates)), memory), None

        train = jax.jit(lambda carry: jax.lax.scan(one, carry, jnp.arange(self.steps))[0])
        grid, _ = train((grid, optimizer.init(eqx.filter(grid, eqx.is_array))))
        same = eqx.filter_vmap(each, in_axes=(eqx.if_array(0), None))
        answer = jax.jit(lambda grid, x: mask(same(grid, x)))
        in_parts = lambda x: np.concatenate(
            [np.asarray(answer(grid, x[i : i + 500])) for i in range(0, len(x), 500)], 2
        )
        correct = (in_parts(tokens[:held]).argmax(-1) == np.asarray(places)[:, :held]).mean((0, 2))
        best = correct.reshape(len(self.labels), -1).argmax(1)
        chosen = np.arange(len(self.labels)) * len(rates) + best
        return in_parts(test)[:, chosen]


def _score(hits: Bool[np.ndarray, "h n"], names: list[str], protocol: dict[str, Any]) -> task.Score:
    """Return the mean of hits over heads and clips, with the outcome of each clip."""
    outcomes = {"keys": names, "groups": names, "outcomes": hits.astype(int).tolist()}
    return task.Score(float(np.mean(hits)), hits.shape[1], protocol, outcomes)


def _classes(records: list[record.Record], label: str) -> np.ndarray:
    return np.asarray([CLASSES[label].index(r.labels[label]) for r in records])


def _scaling(tokens: np.ndarray, whiten: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean token and the matrix to multiply by: 1 / deviation (diagonal), or whitening."""
    flat = tokens.reshape(-1, tokens.shape[-1])
    mean = flat.mean(0, dtype=np.float64)
    if not whiten:
        # In parts: a float64 copy of all tokens would double the memory.
        parts = (flat[start : start + 65_536] for start in range(0, len(flat), 65_536))
        deviation = np.sqrt(sum(np.square(part - mean).sum(0) for part in parts) / len(flat))
        return mean, np.diag(1.0 / (deviation + 1e-6)).astype(np.float32)
    values, vectors = np.linalg.eigh(np.cov(flat[:: max(1, len(flat) // 100_000)].T))
    return mean, (vectors / np.sqrt(values + 1e-3 * values.mean())).astype(np.float32)


def _scale(tokens: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return ((tokens - shift.astype(np.float32)) @ scale).astype(np.float32)
