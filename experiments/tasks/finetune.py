"""End-to-end fine-tuning of encoder, attention pooler and classifier, with optional layer decay.

Source: VideoGLUE appendix D (everything tuned, a 1-layer attention pooler, layer decay 0.75).
"""

import dataclasses
import pathlib
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from prismlab.core.train import learner
from prismlab.data.loader import source
from prismlab.experiments.tasks import task, tuning


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """Fine-tune all weights, starting from the given towers; report the accuracy on test clips.

    The given towers are not modified; a copy is trained.

    Args:
        train: labelled training clips.
        test: labelled test clips from another stream.
        setup: clips, label and training hyperparameters (`layer_decay` is 0.75 in VideoGLUE).
        heads: attention heads of the pooler, 12 at base.
        hidden_dim: total width of all heads; None means the token width.
    """

    train: source.Source
    test: source.Source
    setup: tuning.Setup
    heads: int = 12
    hidden_dim: int | None = None

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        return (f"{self.setup.label}_finetune",)

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return the accuracy as <label>_finetune.

        Args:
            towers: encoders to start from; only the encoder of "video" is read.
            seed: seed of the head's initial weights, clip order and dropout.
            cache: directory shared by runs.
        """
        encoder = tuning.encoder_of(towers)

        def build(classes: int, key: PRNGKeyArray) -> tuple[tuning.Classifier, Any]:
            model = tuning.pooled_once(
                encoder, self.heads, self.hidden_dim, classes, self.setup.dropout, key=key
            )
            return model, jax.tree.map(eqx.is_inexact_array, model)

        words = f"attention pooler, everything tuned, layer decay {self.setup.optimizer.layer_decay}"
        return tuning.score(
            self.setup, self.train, self.test, build, "finetune", words, seed=seed, cache=cache
        )
