"""End-to-end fine-tuning: encoder, attention pooler and classifier all move, lower layers perhaps less.

Source: VideoGLUE appendix D (everything tuned, a 1-layer attention pooler, layer decay 0.75).
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from prismlab.data.loader import source
from prismlab.experiments.tasks import task, tuning


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """Train everything from the given weights; report the accuracy on unseen clips.

    The towers that were given stay as they are: what is trained is a copy.

    Args:
        train: labelled clips to learn from.
        test: labelled clips from another stream.
        setup: clips, question and optimizer (whose `layer_decay` is 0.75 in VideoGLUE).
        heads: attention heads of the pooler, 12 at base.
        hidden_dim: width of all heads together; None means the tokens' width.
    """

    train: source.Source
    test: source.Source
    setup: tuning.Setup
    heads: int = 12
    hidden_dim: int | None = None

    def __call__(
        self, towers: Mapping[str, eqx.Module], *, seed: int, cache: pathlib.Path
    ) -> dict[str, task.Score]:
        """Return the accuracy as <label>_finetune.

        Args:
            towers: encoders to start from; only the encoder of "video" is read.
            seed: initial weights of the head, order of clips, dropout.
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
