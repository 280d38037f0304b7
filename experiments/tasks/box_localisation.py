"""Spatio-temporal localisation on a frozen encoder: what the subject of each box does at a keyframe.

Source: VideoPrism E.1: trained on annotated boxes, scored on given detections (AVA) or annotated boxes.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from prismlab.core import errors
from prismlab.core.train import learner
from prismlab.experiments.tasks import localisation_examples, task
from prismlab.experiments.tasks.features import encoder_pass, feature_set, keeping
from prismlab.experiments.tasks.heads.localisation import spatial
from prismlab.experiments.tasks.interface import boxes, items, protocols
from prismlab.experiments.tasks.metrics import resampling
from prismlab.experiments.tasks.metrics.detection import frame_precision

CONTROL = ", shuffled labels"  # ending of the name of a control
SOURCES = {"truth": "annotated boxes", "detections": "detections"}


@dataclasses.dataclass(frozen=True)
class BoxLocalisation:
    """Actions in boxes at keyframes, by a head on the tokens of the clip around each.

    Args:
        reader: a data set of keyframes with boxes.
        metrics: the first one selects the learning rate of the head, on annotated boxes.
        head: the head and its training.
        protocol: how a clip is shown; one view of the whole frame (`crop="whole"`), all tokens.
        scored: boxes that are scored, by name of the score: "truth" (annotated ones: no detector is needed,
            and what one would miss or invent is not counted) or "detections" (the reader's).
        least: detections of lower scores are left out. The paper: .8 on AVA, .2 on AVA-Kinetics.
        train_split, test_split: names of the reader's splits.
        control: also train a head with the labels of other boxes, whose scores stand beside the others.
        batch_size: clips encoded at once.
        features: where features are kept.
    """

    reader: items.Reader
    metrics: Sequence[frame_precision.FramePrecision] = (frame_precision.FramePrecision(),)
    head: spatial.Spatial = dataclasses.field(default_factory=spatial.Spatial)
    protocol: protocols.Protocol = dataclasses.field(default_factory=lambda: protocols.Protocol(crop="whole"))
    scored: Sequence[str] = ("truth",)
    least: float = 0.0
    train_split: str = "train"
    test_split: str = "val"
    control: bool = True
    batch_size: int = 16
    features: keeping.Keeping = dataclasses.field(default_factory=keeping.Keeping)

    def __post_init__(self) -> None:
        for name in ("metrics", "scored"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.metrics or self.batch_size < 1 or not self.scored or set(self.scored) - set(SOURCES):
            raise errors.UserError(
                f"box localisation: expected at least one metric, scored of {tuple(SOURCES)} and batch_size "
                f"of 1 or more, got {len(self.metrics)} metrics, {self.scored} and {self.batch_size}"
            )
        how = self.protocol
        if how.pooling != "attention" or how.layers > 1 or how.views > 1 or how.passes > 1:
            raise errors.UserError(
                "box localisation reads all tokens of one view and one pass; set the protocol to "
                f"pooling='attention', layers=1, clips=1 and passes=1, got {how.pooling!r}, {how.layers}, "
                f"{how.clips} and {how.passes}"
            )
        if how.crop != "whole":
            raise errors.UserError(
                "box localisation: boxes are shares of the whole frame; set protocols.Protocol.crop='whole', "
                f"got {how.crop!r}"
            )

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        ends = ("", CONTROL) if self.control else ("",)
        return tuple(
            self._name(metric, source) + end
            for source in self.scored
            for metric in self.metrics
            for end in ends
        )

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return a score for each kind of boxes and metric, and its control.

        Args:
            towers: frozen encoders; only "video" is read.
            seed: seed of the heads.
            cache: directory shared by runs.
        """
        encoder = encoder_pass.EncoderPass(towers["video"], self.protocol, self.batch_size)
        train, test = (self._encoded(split, encoder, cache) for split in (self.train_split, self.test_split))
        if train.found.classes != test.found.classes:
            raise errors.UserError(
                f"{train.found.name} and {test.found.name} have different classes; use files of one version"
            )
        given = [self._given(test.found, source) for source in self.scored]
        together = [tuple(each for one in own for each in one) for own in zip(*given)]
        ends = np.cumsum([[len(one) for one in own] for own in zip(*given)], axis=1)
        select = self.metrics[0]
        measure = lambda said, found: select.match(said, found).value()
        scores: dict[str, task.Score] = {}
        for shuffled in (True, False) if self.control else (False,):
            said, facts = self.head.predict(
                train, test, together, measure, frames=self.protocol.frames, seed=seed, shuffled=shuffled
            )
            classes = len(test.found.classes)
            number = np.concatenate([np.repeat(np.arange(len(own)), classes) for own in together])
            for place, source in enumerate(self.scored):
                low = ends[said[0].row, place - 1] if place else 0
                kept = (number >= low) & (number < ends[said[0].row, place])
                own = [boxes.Scored(each.row[kept], each.shares[kept], each.label[kept], each.score[kept])
                       for each in said]  # fmt: skip
                for metric in self.metrics:
                    name = self._name(metric, source)
                    beside: dict[str, Any] = {"boxes": SOURCES[source]}
                    if self.control and not shuffled:
                        beside["shuffled-labels control"] = round(scores[name + CONTROL].value, 6)
                    if source == "detections":
                        beside["detections"] = sum(map(len, given[place]))
                        beside["least score of a detection"] = self.least
                    if metric is select and not shuffled:
                        beside["examples"] = localisation_examples.of_boxes(
                            test.found, self.protocol, given[place], own[0], source == "truth"
                        )
                    name += CONTROL if shuffled else ""
                    scores[name] = self._score(metric, own, {**facts, **beside}, train, test)
        return {name: scores[name] for name in self.metric_names()}

    def _name(self, metric: frame_precision.FramePrecision, source: str) -> str:
        return f"{metric.name}, {SOURCES[source]}"

    def _encoded(
        self, split: str, encoder: encoder_pass.EncoderPass, cache: pathlib.Path
    ) -> feature_set.Encoded:
        found = self.reader.read(split, cache)
        boxes.truth_of(found)
        return self.features.encode(found, encoder, cache)

    def _given(self, found: items.ItemSet, source: str) -> list[tuple[boxes.Detection, ...]]:
        """Return the boxes that are scored at each keyframe."""
        if source == "truth":
            return [
                tuple(boxes.Detection(each.shares, 1.0) for each in item.extra.get(boxes.BOXES, ()))
                for item in found.items
            ]
        given = [
            tuple(each for each in item.extra.get(boxes.DETECTIONS, ()) if each.score >= self.least)
            for item in found.items
        ]
        if not any(given):
            raise errors.UserError(
                f"{found.name}: no detection of a score of {self.least:g} or more; give the reader a file of "
                "detections, or set box_localisation.BoxLocalisation.scored=('truth',)"
            )
        return given

    def _score(
        self,
        metric: frame_precision.FramePrecision,
        said: Sequence[boxes.Scored],
        facts: dict[str, Any],
        train: feature_set.Encoded,
        test: feature_set.Encoded,
    ) -> task.Score:
        found = [metric.match(each, test.found) for each in said]
        values = [each.value() for each in found]
        groups = [item.group for item in test.found.items]
        spread = resampling.jackknife(lambda rows: float(np.mean([one.value(rows) for one in found])), groups)
        by_class = {index: np.mean([one.by_class()[index].mean() for one in found])
                    for index in found[0].by_class()}  # fmt: skip
        known: dict[str, Any] = {
            "protocol": self.protocol.summary(),
            "frames": self.protocol.frames,
            "views": 1,
            "pooling": f"boxes ask all tokens, RoIAlign on {self.head.query.maps}",
            "missing": len(test.missing),
            **test.found.notes,
            **facts,
            **found[0].notes,
            "classes averaged": len(by_class),
            "by class": {test.found.classes[index]: round(float(value), 4)
                         for index, value in by_class.items()},
        }  # fmt: skip
        if train.missing:
            reason = next(iter(train.missing.values()))
            known["train clips missing"] = f"{len(train.missing)} (first: {reason})"
        if test.missing:
            known["missing clips"] = dict(list(test.missing.items())[:20])
        if len(values) > 1:
            known["by head seed"] = [round(value, 6) for value in values]
        outcomes: dict[str, Any] = {"keys": [item.key for item in test.found.items], "groups": groups}
        outcomes |= {} if spread is None else spread.kept()
        return task.Score(float(np.mean(values)), len(test.found), known, outcomes)
