"""Attentive probe: one attention head per label on the frozen tokens of rendered clips.

Reader, features, grid of heads and metrics are those of `benchmark.Benchmark`. Several labels, each with a
head and a selected learning rate of its own, cost one encoder pass and one training program.

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

import numpy as np
from jaxtyping import Float32

from prismlab.core import errors
from prismlab.core.train import learner
from prismlab.data.loader import source
from prismlab.data.world import truth
from prismlab.experiments.tasks import task
from prismlab.experiments.tasks.features import encoder_pass, feature_set, keeping
from prismlab.experiments.tasks.heads import head_grid, probe, separate, whitening
from prismlab.experiments.tasks.interface import items, protocols
from prismlab.experiments.tasks.metrics import accuracy, item_outcomes, measured, reversal
from prismlab.experiments.tasks.readers.rendered_world import rendered

SPLITS = ("train", "test")


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
        self._reader()
        if self.head_seeds < 1:
            raise errors.UserError(f"head_seeds must be at least 1, got {self.head_seeds}")
        if self.train_clips < 8 or self.test_clips < 1 or self.steps < 1:
            raise errors.UserError(
                "expected train_clips >= 8 (one in eight is held out), test_clips >= 1 and steps >= 1"
            )

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        suffix = "_whitened" if self.whiten else ""
        further = lambda label: ("reversal", "reversal_xy") if label == "motion" else ()
        return tuple(name + suffix for label in self.labels for name in (label, *further(label)))

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return the accuracy of each label, and for motion also within pairs of opposite motions.

        Args:
            towers: frozen encoders; only "video" is read.
            seed: seed of the heads' initial weights and clip order.
            cache: directory shared by runs.

        Raises:
            UserError: a clip cannot be read.
        """
        how = protocols.Protocol(frames=self.frames, resolution=self.resolution)
        encoder = encoder_pass.EncoderPass(towers["video"], how, self.batch_size)
        kept = keeping.Keeping(mode="memory")  # of use to no other task
        train, test = (kept.encode(self._reader().read(split, cache), encoder, cache) for split in SPLITS)
        for key, reason in (train.missing | test.missing).items():
            raise errors.UserError(
                f"probe: clip {key!r} cannot be read ({reason}); remove it from its source"
            )
        return self.scores(train, test, seed=seed)

    def scores(
        self, train: feature_set.Encoded, test: feature_set.Encoded, *, seed: int
    ) -> dict[str, task.Score]:
        """Train the heads on features and score the test items; see `__call__`.

        Args:
            train: training items, with a label set for each of several labels.
            test: test items with the same labels.
            seed: seed of the heads' initial weights and clip order.
        """
        if self.whiten:
            train, test = whitening.whitened(train, test)
        grid = head_grid.Grid(
            self.learning_rates, (self.weight_decay,), self.head_seeds, self.steps, self.batch_size,
            standardise=not self.whiten, own_order=True,
        )  # fmt: skip
        suffix, made = "_whitened" if self.whiten else "", {}
        top = accuracy.TopK(1)
        head = probe.Attention(self.heads, self.hidden_dim)
        measure = lambda scores, found: top(scores, found).value
        answers = separate.predict(head, grid, train, test, measure, seed=seed)
        trained_on = len(train.found) - int(probe.held_out(train.found, grid.held_out).sum())
        for label, (answer, found) in zip(self.labels, answers, strict=True):
            protocol = {
                "pooling": "attention pooler" + (", whitened tokens" if self.whiten else ""),
                "frames": self.frames, "views": 1,
                "train clips per class": round(trained_on / len(found.classes)),
                "learning rates tried": list(self.learning_rates),
                "heads averaged": self.head_seeds,
            }  # fmt: skip
            made[label + suffix] = _score(top, answer, found, protocol)
            if label == "motion":
                half, pairs = (
                    {**protocol, "classes": "the clip's own reversal pair"},
                    reversal.Reversal(truth.MOTIONS),
                )
                made["reversal" + suffix] = _score(pairs, answer, found, half)
                half, rows = {**half, "classes": "right/left and down/up only"}, reversal.straight(found)
                made["reversal_xy" + suffix] = _score(pairs, answer[:, rows], found.subset(rows), half)
        return made

    def _reader(self) -> rendered.RenderedWorld:
        return rendered.RenderedWorld(
            self.train, self.test, self.labels, self.train_clips, self.test_clips,
            label_sets=len(self.labels) > 1,
        )  # fmt: skip


def _score(
    metric: measured.Metric,
    answer: Float32[np.ndarray, "k n c"],
    found: items.ItemSet,
    protocol: dict[str, Any],
) -> task.Score:
    """Return the mean of a metric over head seeds, with the outcome of each clip."""
    values = [metric(scores, found) for scores in answer]
    outcomes = item_outcomes.of(answer, found, values, metric)
    mean = float(np.mean([each.value for each in values]))
    return task.Score(mean, len(found), {**protocol, **values[0].chance_fact()}, outcomes)
