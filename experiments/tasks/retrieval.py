"""Zero-shot retrieval, text to video and video to text.

Source: VideoPrism 3.2, appendix F (cosine similarity of pooled embeddings, single view).
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from prismlab.core import errors
from prismlab.core.train import learner
from prismlab.data.loader import tokenizer as tokenizer_module
from prismlab.experiments.tasks import caption_pool, task
from prismlab.experiments.tasks.features import clip_vectors, keeping, text_pass
from prismlab.experiments.tasks.interface import items, protocols
from prismlab.experiments.tasks.metrics import item_outcomes, resampling
from prismlab.experiments.tasks.metrics.ranking import recall, retrieved

SCORES = ("cosine", "dual softmax")


def dual_softmax(similarity: Float[np.ndarray, "q c"], temperature: float) -> Float[np.ndarray, "q c"]:
    """Multiply each similarity by its share among all queries of the candidate.

    It uses the other test queries, so its numbers do not compare with those of the cosine.

    Args:
        similarity: of each query with each candidate.
        temperature: of the softmax over queries.

    Source: Cheng et al. 2021 (CAMoE, dual softmax), applied in testing as in InternVideo.
    """
    similarity = similarity.astype(np.float64)  # shares of e^-200 are zero in float32, and tie
    scaled = similarity / temperature
    share = np.exp(scaled - scaled.max(axis=0, keepdims=True))
    shared: np.ndarray = similarity * (share / share.sum(axis=0, keepdims=True))
    return shared


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Retrieval of clips by caption and of captions by clip.

    Args:
        reader: a data set whose items have captions.
        tokenizer: of the text tower; None for the tokenizer of the encoder's stage.
        metrics: of each direction.
        protocol: how clips are shown.
        split: which items.
        captions: "all" captions of a clip, or its "first".
        same_caption: what counts for a caption that another clip has too: "miss" (only the own clip is right,
            as in published 1kA numbers), "hit" (both are right) or "drop" (the later clip leaves the pool).
        clips: largest size of the pool, from the first clip on; None for all.
        scores: "cosine", or "dual softmax", which is named in the metric.
        temperature: of the dual softmax.
        batch_size: views and texts encoded at once.
        features: how pooled vectors of clips are kept; stored, all tasks on the same clips share them.
    """

    reader: items.Reader
    tokenizer: tokenizer_module.Tokenizer | None = None
    metrics: Sequence[retrieved.Metric] = (recall.RecallAt(1),)
    protocol: protocols.Protocol = dataclasses.field(default_factory=clip_vectors.default_protocol)
    split: str = "test"
    captions: str = "all"
    same_caption: str = "miss"
    clips: int | None = None
    scores: str = "cosine"
    temperature: float = 0.01
    batch_size: int = 64
    features: keeping.Keeping = dataclasses.field(default_factory=keeping.Keeping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))
        clip_vectors.check(self.protocol)
        for field, known in (
            ("captions", caption_pool.CAPTIONS), ("same_caption", caption_pool.SAME), ("scores", SCORES),
        ):  # fmt: skip
            if getattr(self, field) not in known:
                raise errors.UserError(
                    f"retrieval: {field} must be one of {known}, got {getattr(self, field)!r}"
                )
        if not self.metrics or self.batch_size < 1 or (self.clips is not None and self.clips < 1):
            raise errors.UserError("retrieval: expected a metric, and clips and batch_size of at least 1")

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        return tuple(
            self._name(direction, metric)
            for direction in ("text_to_video", "video_to_text")
            for metric in self.metrics
        )

    def _name(self, direction: str, metric: retrieved.Metric) -> str:
        variant = "" if self.scores == "cosine" else f" ({self.scores})"
        return f"{direction}_{metric.name}{variant}"

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return each metric in both directions, such as text_to_video_R@1, or {} without a text tower.

        Args:
            towers: frozen encoders by name.
            seed: unused; retrieval is deterministic.
            cache: directory shared by runs.
        """
        del seed
        if "text" not in towers:
            return {}
        encode = text_pass.TextPass(towers, self.tokenizer, cache, self.batch_size)
        chosen = caption_pool.chosen(
            self.reader.read(self.split, cache), self.captions, self.same_caption, self.clips
        )
        clips = clip_vectors.of(chosen, towers, self.protocol, self.batch_size, self.features, cache)
        pool = caption_pool.Pool.of(clips.found, self.same_caption)
        similarity = encode(pool.captions) @ clips.vectors.T
        facts = {
            **clip_vectors.facts(self.protocol, clips),
            "pool": len(clips.found),
            "captions": len(pool.captions),
            "captions of several clips": pool.repeated,
            "such captions": self.same_caption,
            "captions cut": encode.cut(pool.captions),
        }
        found = self._direction("text_to_video", similarity, pool.clips_of, pool.caption_keys, facts)
        asked = [row for row, captions in enumerate(pool.captions_of) if len(captions)]
        named = clips.named
        right, names = [pool.captions_of[row] for row in asked], [named[row] for row in asked]
        return found | self._direction("video_to_text", similarity.T[asked], right, names, facts)

    def _direction(
        self,
        direction: str,
        similarity: Float[np.ndarray, "q c"],
        right: Sequence[Sequence[int]],
        names: Sequence[tuple[str, str]],
        facts: dict[str, object],
    ) -> dict[str, task.Score]:
        if self.scores != "cosine":
            similarity = dual_softmax(similarity, self.temperature)
        found = retrieved.Retrieved.of(similarity, right)
        scores = {}
        for metric in self.metrics:
            made = metric(found)
            asked = {"queries": len(right), "scores": self.scores}
            outcomes = item_outcomes.of_mean(made, names, ranks=found.worst.tolist())
            if outcomes is None:
                value = lambda rows, metric=metric: metric(found.take(rows)).value
                spread = resampling.bootstrap(value, [group for _, group in names])
                outcomes = spread.kept() if spread else None
            scores[self._name(direction, metric)] = task.Score(
                made.value, len(right), facts | dict(made.notes) | asked | made.chance_fact(), outcomes
            )
        return scores
