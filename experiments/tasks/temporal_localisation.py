"""Temporal localisation on a frozen encoder: which actions an untrimmed video has, and when.

Source: VideoPrism E.1, with an anchor-free head in place of G-TAD, and a class head of its own: published
numbers on ActivityNet take the class of a segment from an external classifier that saw whole videos.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from prismlab.core import errors
from prismlab.core.train import learner
from prismlab.experiments.tasks import localisation_examples, task
from prismlab.experiments.tasks.features import encoder_pass, keeping, window_sequences
from prismlab.experiments.tasks.heads.localisation import temporal
from prismlab.experiments.tasks.interface import items, protocols, segments
from prismlab.experiments.tasks.metrics import resampling
from prismlab.experiments.tasks.metrics.detection import temporal_precision
from prismlab.experiments.tasks.readers.localisation import class_scores

CONTROL = ", shuffled labels"  # ending of the name of a control
EXTERNAL = ", external classifier"  # ending of the name of a variant


@dataclasses.dataclass(frozen=True)
class TemporalLocalisation:
    """Segments of untrimmed videos by a head on pooled features of windows.

    Args:
        reader: a data set of videos with times of actions.
        metrics: the first one selects the learning rate of the head.
        head: the head and its training.
        windows: how videos are cut.
        protocol: how a window is shown; features are pooled, a vector for each window ("mean" or "tower") or
            for each of its frames ("frames" or "quarters"), which are the steps that the head sees.
        train_split, test_split: names of the reader's splits.
        external: scores of another classifier for the test videos, further scores by
            name, in which the encoder only says when something happens; None for none.
        control: also train a head with the annotations of other videos, whose scores stand beside the others.
        batch_size: windows encoded at once.
        features: where the features of windows are kept.
    """

    reader: items.Reader
    metrics: Sequence[temporal_precision.TemporalPrecision] = (temporal_precision.TemporalPrecision(),)
    head: temporal.Temporal = dataclasses.field(default_factory=temporal.Temporal)
    windows: window_sequences.Windows = dataclasses.field(default_factory=window_sequences.Windows)
    protocol: protocols.Protocol = dataclasses.field(
        default_factory=lambda: protocols.Protocol(pooling="mean")
    )
    train_split: str = "train"
    test_split: str = "val"
    external: class_scores.ClassScores | None = None
    control: bool = True
    batch_size: int = 16
    features: keeping.Keeping = dataclasses.field(default_factory=keeping.Keeping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))
        if not self.metrics or self.batch_size < 1:
            raise errors.UserError(
                "temporal localisation: expected at least one metric and batch_size of 1 or more, got "
                f"{len(self.metrics)} metrics and {self.batch_size}"
            )
        if self.protocol.pooling == "attention" or self.protocol.passes > 1:
            raise errors.UserError(
                "temporal localisation reads a vector for each window or frame in one pass; set the protocol "
                "to pooling='frames', 'quarters', 'mean' or 'tower' and passes=1, got "
                f"{self.protocol.pooling!r} and {self.protocol.passes}"
            )

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        ends = ("", CONTROL) if self.control else ("",)
        own = tuple(metric.name + end for metric in self.metrics for end in ends)
        return own + (
            tuple(metric.name + EXTERNAL for metric in self.metrics) if self.external is not None else ()
        )

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return a score for each metric, and its control.

        Args:
            towers: frozen encoders; only "video" is read.
            seed: seed of the heads.
            cache: directory shared by runs.
        """
        encoder = encoder_pass.EncoderPass(towers["video"], self.protocol, self.batch_size)
        train, test = (
            self._sequences(split, encoder, cache) for split in (self.train_split, self.test_split)
        )
        if train.found.classes != test.found.classes:
            raise errors.UserError(
                f"{train.found.name} and {test.found.name} have different classes; use files of one version"
            )
        select = self.metrics[0]
        measure = lambda said, found: select.match(said, found).value()
        scores: dict[str, task.Score] = {}
        external = None if self.external is None else self.external.of(test.found)
        for shuffled in (True, False) if self.control else (False,):
            said, other, facts = self.head.predict(
                train, test, measure, seed=seed, shuffled=shuffled, external=None if shuffled else external
            )
            for metric in self.metrics:
                name = metric.name + (CONTROL if shuffled else "")
                beside: dict[str, Any] = {} if shuffled or not self.control else {
                    "shuffled-labels control": round(scores[metric.name + CONTROL].value, 6)
                }  # fmt: skip
                if metric is select and not shuffled:
                    beside["examples"] = localisation_examples.of_times(test.found, self.protocol, said[0])
                scores[name] = self._score(metric, said, {**facts, **beside}, train, test)
                if other:
                    source = {
                        "class scores": f"external classifier, {temporal.EXTERNAL} surest classes a video"
                    }
                    scores[name + EXTERNAL] = self._score(metric, other, {**facts, **source}, train, test)
        return {name: scores[name] for name in self.metric_names()}

    def _sequences(
        self, split: str, encoder: encoder_pass.EncoderPass, cache: pathlib.Path
    ) -> window_sequences.Sequences:
        found = self.reader.read(split, cache)
        segments.truth_of(found)
        encoded = self.features.encode(self.windows.cut(found), encoder, cache)
        return window_sequences.Sequences.of(found, encoded, self.windows)

    def _score(
        self,
        metric: temporal_precision.TemporalPrecision,
        said: Sequence[segments.Predicted],
        facts: dict[str, Any],
        train: window_sequences.Sequences,
        test: window_sequences.Sequences,
    ) -> task.Score:
        found = [metric.match(each, test.found) for each in said]
        values = [each.value() for each in found]
        groups = [item.group for item in test.found.items]
        spread = resampling.jackknife(lambda rows: float(np.mean([one.value(rows) for one in found])), groups)
        by_threshold = np.mean([one.by_threshold() for one in found], axis=0)
        by_class = {index: np.mean([one.by_class()[index].mean() for one in found])
                    for index in found[0].by_class()}  # fmt: skip
        known: dict[str, Any] = {
            "protocol": self.protocol.summary(),
            "frames": self.protocol.frames,
            "views": self.protocol.views,
            "pooling": self.protocol.pooling,
            "windows": f"{self.windows.seconds:g} s every {self.windows.step:g} s",
            **({"steps": f"a frame, every {test.step:g} s"} if test.frames > 1 else {}),
            "missing": len(test.missing),
            **test.found.notes,
            "class scores": "own head on the same features",
            **facts,
            **found[0].notes,
            "by tIoU": {f"{limit:g}": round(float(value), 4)
                        for limit, value in zip(metric.thresholds, by_threshold)},
            "by class": {test.found.classes[index]: round(float(value), 4)
                         for index, value in by_class.items()},
        }  # fmt: skip
        for name, each in (("", test), ("train ", train)):
            if each.missing:
                known[f"{name}videos missing"] = dict(list(each.missing.items())[:20])
            if each.lost:
                known[f"{name}windows that could not be read"] = each.lost
        if len(values) > 1:
            known["by head seed"] = [round(value, 6) for value in values]
        outcomes: dict[str, Any] = {"keys": [item.key for item in test.found.items], "groups": groups}
        outcomes |= {} if spread is None else spread.kept()
        return task.Score(float(np.mean(values)), len(test.found), known, outcomes)
