"""Zero-shot classification: classes are texts, a clip's scores are cosine similarities with them.

Source: VideoPrism 3.2, appendix F (class names in CLIP's templates, cosine similarity, single view).
"""

import dataclasses
import pathlib
from collections.abc import Sequence

from prismlab.core import errors
from prismlab.core.train import learner
from prismlab.data.loader import tokenizer as tokenizer_module
from prismlab.experiments.tasks import prompts, task
from prismlab.experiments.tasks.features import clip_vectors, keeping, text_pass
from prismlab.experiments.tasks.interface import items, protocols
from prismlab.experiments.tasks.metrics import accuracy, item_outcomes, measured


@dataclasses.dataclass(frozen=True)
class ZeroShot:
    """Classification of clips by the texts of the classes, without training.

    Args:
        reader: a data set with classes.
        tokenizer: of the text tower; None for the tokenizer of the encoder's stage.
        templates: texts of the classes.
        metrics: of the cosine similarities [n, c]. The mean average precision of
            classes is the text-to-video retrieval by which SSv2-Temporal and SSv2-Events are scored.
        protocol: how clips are shown.
        split: which items.
        batch_size: views and texts encoded at once.
        features: how pooled vectors of clips are kept; stored, all tasks on the same clips share them.
    """

    reader: items.Reader
    tokenizer: tokenizer_module.Tokenizer | None = None
    templates: prompts.Templates = dataclasses.field(default_factory=prompts.Templates)
    metrics: Sequence[measured.Metric] = (accuracy.TopK(1),)
    protocol: protocols.Protocol = dataclasses.field(default_factory=clip_vectors.default_protocol)
    split: str = "test"
    batch_size: int = 64
    features: keeping.Keeping = dataclasses.field(default_factory=keeping.Keeping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))
        clip_vectors.check(self.protocol)
        if not self.metrics or self.batch_size < 1:
            raise errors.UserError(
                "zero-shot classification: expected a metric and a batch_size of at least 1"
            )

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        return tuple(metric.name for metric in self.metrics)

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return a score for each metric, or {} without a text tower.

        Args:
            towers: frozen encoders by name.
            seed: unused.
            cache: directory shared by runs.
        """
        del seed
        if "text" not in towers:
            return {}
        read = self.reader.read(self.split, cache)
        if len(read.classes) < 2:
            raise errors.UserError(
                f"{read.name}: zero-shot classification needs 2 classes, got {read.classes}"
            )
        encode = text_pass.TextPass(towers, self.tokenizer, cache, self.batch_size)
        clips = clip_vectors.of(read, towers, self.protocol, self.batch_size, self.features, cache)
        classes = self.templates.vectors(read.classes, encode)
        similarity = clips.vectors @ classes.T
        facts = {
            **clip_vectors.facts(self.protocol, clips),
            "templates": list(self.templates.texts[:3]),
            "number of templates": len(self.templates.texts),
            "texts cut": encode.cut([text for name in read.classes for text in self.templates.of(name)]),
        }
        scores = {}
        for metric in self.metrics:
            made = metric(similarity, clips.found)
            outcomes = item_outcomes.of_mean(made, clips.named)
            if outcomes is None:
                outcomes = item_outcomes.interval_of(metric, similarity[None], clips.found)
            scores[metric.name] = task.Score(
                made.value, len(clips.found), facts | dict(made.notes) | made.chance_fact(), outcomes
            )
        return scores
