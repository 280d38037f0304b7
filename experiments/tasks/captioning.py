"""Captioning with a frozen language model: train the bridge on captions, generate, compare with references.

Source: VideoPrism 3.3, appendix G.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

from prismlab.core import errors
from prismlab.core.train import learner
from prismlab.experiments.tasks import task
from prismlab.experiments.tasks.features import encoder_pass, keeping
from prismlab.experiments.tasks.interface import items, protocols, texts
from prismlab.experiments.tasks.language import bridge_fit, examples, models, text_scores, training_pairs
from prismlab.experiments.tasks.metrics.answers import cider, text_metric


@dataclasses.dataclass(frozen=True)
class Captioning:
    """Captions of clips by a frozen language model behind a trained bridge.

    Args:
        reader: a data set with captions.
        language: the frozen language model.
        train_reader: captions to train on; None for those of `reader`. The paper trained on other data sets
            than it scored.
        metrics: of the generated captions.
        bridge: settings of the bridge.
        pairs: the prompt of a caption.
        protocol: how clips are shown; the bridge reads tokens of one view.
        train_split, test_split: names of the readers' splits.
        control: also train a bridge that sees no video, whose scores stand beside the others.
        tokens: largest number of generated ids.
        batch_size: clips encoded, and prompts decoded, at once.
        features: where features are kept.
    """

    reader: items.Reader
    language: models.Source
    train_reader: items.Reader | None = None
    metrics: Sequence[text_metric.TextMetric] = (cider.Cider(),)
    bridge: bridge_fit.Bridge = dataclasses.field(default_factory=bridge_fit.Bridge)
    pairs: training_pairs.Captions = dataclasses.field(default_factory=training_pairs.Captions)
    protocol: protocols.Protocol = dataclasses.field(default_factory=protocols.Protocol)
    train_split: str = "train"
    test_split: str = "test"
    control: bool = True
    tokens: int = 32
    batch_size: int = 16
    features: keeping.Keeping = dataclasses.field(default_factory=keeping.Keeping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))
        text_scores.check(self.protocol, self.tokens, self.batch_size)
        if not self.metrics:
            raise errors.UserError("captioning: give at least one metric")

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        return text_scores.names(self.metrics, [""], self.control)

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return a score for each metric, with and without video.

        Args:
            towers: frozen encoders; only "video" is read.
            seed: seed of the bridge.
            cache: directory shared by runs.

        Raises:
            UserError: a clip of the test split has no caption.
        """
        model = self.language.load(cache)
        encoder = encoder_pass.EncoderPass(towers["video"], self.protocol, self.batch_size)
        home = self.train_reader or self.reader
        train = self.features.encode(home.read(self.train_split, cache), encoder, cache)
        test = self.features.encode(self.reader.read(self.test_split, cache), encoder, cache)
        silent = next((item.key for item in test.found.items if not item.texts), None)
        if silent is not None:
            raise errors.UserError(f"{test.found.name}: item {silent!r} has no caption to compare with")
        right = [texts.Reference(item.key, item.group, item.texts) for item in test.found.items]
        tokens = training_pairs.Tokens.of(self.pairs.of(train.found, seed), model, self.bridge.longest)
        asked = [(row, self.pairs.prompt) for row in range(len(test.found))]
        said = []
        for blind in (False, True) if self.control else (False,):
            fitted = bridge_fit.fit(self.bridge, model, train.features, tokens, seed=seed, blind=blind)
            made = fitted.generate(test.features, asked, self.tokens, self.batch_size)
            facts = text_scores.facts(self.protocol, self.bridge, fitted, tokens, train, test)
            said.append(text_scores.Said(made, {**facts, "prompt": self.pairs.prompt}))
        beside = [
            (row, [("says", each), *[("no video", other.texts[row]) for other in said[1:]],
                   ("reference", right[row].texts[0])])
            for row, each in enumerate(said[0].texts)
        ]  # fmt: skip
        shown = examples.of(test.found, self.protocol, beside)
        return text_scores.scored(self.metrics, "", said, right, shown)
