"""A small language model that is trained on the texts of a data set, without its videos, and then frozen."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from prismlab.core import errors, keys
from prismlab.core.language import byte_pairs, frozen_model, llama
from prismlab.core.train import optim
from prismlab.experiments.recipe import progress
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.language import training_pairs


@dataclasses.dataclass(frozen=True)
class SmallModel:
    """A decoder of a few layers with a tokenizer of its own, both learnt from prompts and answers of a split.

    A training text is several prompts with answers of one clip, drawn with repetition: the model learns to
    use what stands in front, as a large one does, so that a prefix can steer it. The same settings give the
    same model; it is trained once in a process.

    Args:
        reader: the data set; its videos are not read.
        pairs: turn its items into prompts and answers, such as `training_pairs.Captions`.
        split: the split, never one that is scored.
        together: prompts with answers in a text.
        layers, width, heads, mlp_width: sizes.
        vocabulary: largest number of ids.
        steps, batch_size, rate: of its training with Adam.
        seed: of weights and batches.
    """

    reader: items.Reader
    pairs: Sequence[training_pairs.PairMaker] = (training_pairs.Captions(),)
    split: str = "train"
    together: int = 3
    layers: int = 2
    width: int = 64
    heads: int = 4
    mlp_width: int = 128
    vocabulary: int = 1024
    steps: int = 400
    batch_size: int = 64
    rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", tuple(self.pairs))
        small = [name for name in ("together", "layers", "width", "heads", "mlp_width", "steps", "batch_size")
                 if getattr(self, name) < 1]  # fmt: skip
        if not self.pairs or small or self.width % self.heads:
            raise errors.UserError(
                "small language model: expected pairs, sizes of 1 or more and a width divisible by "
                f"heads, got {len(self.pairs)} kinds of pairs, width {self.width} and {self.heads} heads"
            )

    def load(self, cache: pathlib.Path) -> frozen_model.LanguageModel:
        """Return the trained model."""
        return _trained(self, cache)


@functools.lru_cache(maxsize=4)
def _trained(settings: SmallModel, cache: pathlib.Path) -> frozen_model.LanguageModel:
    model, encoded = untrained(settings, cache)
    decoder = _fit(model.decoder, encoded, model.special.end, settings)
    return dataclasses.replace(model, decoder=decoder)


def untrained(
    settings: SmallModel, cache: pathlib.Path
) -> tuple[frozen_model.LanguageModel, list[list[list[int]]]]:
    """Return the model with random weights, and the ids of the texts of each clip that it learns from."""
    read = settings.reader.read(settings.split, cache)
    lines: dict[int, list[str]] = {}
    for made in settings.pairs:
        for each in made.of(read, 0):
            lines.setdefault(each.row, []).append(f"{each.prompt} {' '.join(each.answer.split())}")
    # Texts repeat; the tokenizer needs each once.
    tokenizer = byte_pairs.learnt(
        sorted({text for each in lines.values() for text in each}), settings.vocabulary
    )
    end = tokenizer.vocabulary - 1
    encoded = [[[*tokenizer.encode(text), end] for text in each] for each in lines.values()]
    shape = llama.Shape(
        tokenizer.vocabulary, settings.width, settings.layers, settings.heads, settings.heads,
        settings.width // settings.heads, settings.mlp_width,
    )  # fmt: skip
    decoder = llama.Llama.random(shape, key=keys.seeded(settings.seed, "small language model"))
    name = f"small decoder ({settings.layers} layers, width {settings.width})"
    return frozen_model.LanguageModel(name, decoder, tokenizer, frozen_model.Special(end, end)), encoded


def _fit(decoder: llama.Llama, encoded: list[list[list[int]]], end: int, settings: SmallModel) -> llama.Llama:
    longest = settings.together * max(len(ids) for each in encoded for ids in each)
    optimizer = optim.AdamW(optim.Schedule(settings.rate), weight_decay=0.0).build(settings.steps)

    @eqx.filter_jit
    def one(decoder: llama.Llama, memory: Any, ids: Any, present: Any) -> tuple[llama.Llama, Any]:
        def loss_of(decoder: llama.Llama) -> Array:
            logits, _ = decoder.logits(decoder.embed(ids[:, :-1]), present[:, :-1])
            each = optax.softmax_cross_entropy_with_integer_labels(logits, ids[:, 1:])
            return jnp.sum(each * present[:, 1:]) / jnp.sum(present[:, 1:])

        updates, memory = optimizer.update(jax.grad(loss_of)(decoder), memory, decoder)
        return eqx.apply_updates(decoder, updates), memory

    memory = optimizer.init(decoder)
    for step in progress.counted(range(settings.steps), "small decoder: training steps", settings.steps):
        rng = np.random.default_rng([settings.seed, step])
        ids = np.full((settings.batch_size, longest + 1), end, np.int32)
        present = np.zeros(ids.shape, bool)
        for row, clip in enumerate(rng.integers(len(encoded), size=settings.batch_size)):
            texts = [
                encoded[clip][index] for index in rng.integers(len(encoded[clip]), size=settings.together)
            ]
            joined = [end, *(index for text in texts for index in text)]
            ids[row, : len(joined)], present[row, : len(joined)] = joined, True
        decoder, memory = one(decoder, memory, ids, present)
    return decoder
