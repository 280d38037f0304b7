"""Benchmark: data reader + head + metrics + protocol, evaluated on an encoder.

Every piece is a field, so a gin file swaps it. A number is printed with the protocol that made it, the number
of items that could not be read, and the grid of heads behind it.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from prismlab.core import errors
from prismlab.core.train import learner
from prismlab.experiments.tasks import task
from prismlab.experiments.tasks.features import encoder_pass, feature_set, keeping
from prismlab.experiments.tasks.heads import probe
from prismlab.experiments.tasks.interface import items, protocols
from prismlab.experiments.tasks.metrics import accuracy, item_outcomes, measured


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Classification of clips with a head on the features of an encoder.

    Args:
        reader: the data set.
        metrics: the first one selects the learning rate of the head.
        head: learns from the training items; all but `tuning.Tuning` leave the encoder as it is.
        protocol: how clips are shown and features are read.
        train_split, test_split: names of the reader's splits.
        batch_size: views encoded at once.
        features: where features are kept between the encoder and the head: on disk, in memory or not at all.
    """

    reader: items.Reader
    metrics: Sequence[measured.Metric] = (accuracy.TopK(1),)
    head: probe.Head = dataclasses.field(default_factory=probe.Probe)
    protocol: protocols.Protocol = dataclasses.field(default_factory=protocols.Protocol)
    train_split: str = "train"
    test_split: str = "test"
    batch_size: int = 16
    features: keeping.Keeping = dataclasses.field(default_factory=keeping.Keeping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))
        if not self.metrics:
            raise errors.UserError("benchmark: give at least one metric")
        if self.batch_size < 1:
            raise errors.UserError(f"benchmark: batch_size must be at least 1, got {self.batch_size}")
        if isinstance(self.head, probe.ChecksFrame):
            self.head.check_frame(self.protocol, self.features.mode)

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        return tuple(metric.name for metric in self.metrics)

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return a score for each metric.

        Args:
            towers: frozen encoders; only "video" is read.
            seed: seed of the heads.
            cache: directory shared by runs.
        """
        encoder = encoder_pass.EncoderPass(towers["video"], self.protocol, self.batch_size)
        train = self.features.encode(self.reader.read(self.train_split, cache), encoder, cache)
        plain = dataclasses.replace(self.protocol, passes=1, augment=())
        if plain != self.protocol:
            encoder = encoder_pass.EncoderPass(towers["video"], plain, self.batch_size)
        test = self.features.encode(self.reader.read(self.test_split, cache), encoder, cache)
        if train.found.classes != test.found.classes:
            raise errors.UserError(
                f"{train.found.name} and {test.found.name} have different classes; use files of one version"
            )
        select = self.metrics[0]
        predicted = self.head.predict(
            train, test, lambda scores, found: select(scores, found).value, seed=seed
        )
        return {metric.name: self._score(metric, predicted, train, test) for metric in self.metrics}

    def _score(
        self,
        metric: measured.Metric,
        predicted: probe.Predictions,
        train: feature_set.Encoded,
        test: feature_set.Encoded,
    ) -> task.Score:
        found = [metric(scores, test.found) for scores in predicted.scores]
        values = [each.value for each in found]
        facts: dict[str, Any] = {
            "protocol": self.protocol.summary(),
            "frames": self.protocol.frames,
            "views": self.protocol.views,
            "pooling": self.protocol.pooling,
            "train clips per class": round(len(train.found) / max(1, len(train.found.classes))),
            "missing": len(test.missing),
            **test.found.notes,
            **test.found.class_notes(),  # of the clips that could be read
            **found[0].notes,
            **predicted.facts,
            **found[0].chance_fact(),
        }
        if train.missing:
            reason = next(iter(train.missing.values()))
            facts["train clips missing"] = f"{len(train.missing)} (first: {reason})"
        if test.missing:
            facts["missing clips"] = dict(list(test.missing.items())[:20])
        if len(values) > 1:
            facts["by head seed"] = [round(value, 6) for value in values]
        outcomes = item_outcomes.of(predicted.scores, test.found, found, metric)
        return task.Score(float(np.mean(values)), len(test.found), facts, outcomes)
