"""The pass of a frozen text tower over texts: unit vectors, each distinct text encoded once."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float32

from prismlab.core import errors, types
from prismlab.core.nn import losses
from prismlab.data.loader import tokenizer as tokenizer_module

LONGEST = 4096  # tokens to which a text is encoded when those beyond the tower's length are counted


class TextPass:
    """Encodes texts with the text tower of an encoder.

    Args:
        towers: frozen encoders by name, with "text".
        tokenizer: the tokenizer that the text tower was trained with.
        cache: directory shared by runs.
        batch_size: texts a batch; the last batch is padded, so that one program is compiled.

    Raises:
        UserError: there is no tokenizer, or it has more pieces than the tower.
    """

    def __init__(
        self,
        towers: Mapping[str, Any],
        tokenizer: tokenizer_module.Tokenizer | None,
        cache: pathlib.Path,
        batch_size: int = 64,
    ):
        if tokenizer is None:
            raise errors.UserError(
                "the encoder comes without a tokenizer, so texts cannot be encoded; set the task's tokenizer "
                "to @tokenizer.Tokenizer() and tokenizer.Tokenizer.model to the SentencePiece file"
            )
        tower = towers["text"]
        self.encoder = tokenizer.prepare(cache)
        if isinstance(tower, types.CaptionTower) and tower.vocabulary < self.encoder.vocabulary:
            raise errors.UserError(
                f"the tokenizer has {self.encoder.vocabulary} pieces, but the text tower {tower.vocabulary}; "
                "use the tokenizer that the encoder was trained with"
            )
        self.batch_size = batch_size
        arrays, static = eqx.partition(tower, eqx.is_array)
        encode = lambda arrays, ids, paddings: losses.normalise(
            eqx.combine(arrays, static)(ids, paddings).pooled
        )
        self._arrays, self._encode = arrays, jax.jit(encode)

    def __call__(self, texts: Sequence[str]) -> Float32[np.ndarray, "n d"]:
        """Return a vector of unit length for each text; equal texts get equal bits.

        Texts are equal if they are after the tokenizer's normalisation (`tokenizer.canonicalise`).
        """
        wanted = [tokenizer_module.canonicalise(text) for text in texts]
        distinct = list(dict.fromkeys(wanted))
        parts = []
        for start in range(0, len(distinct), self.batch_size):
            piece = distinct[start : start + self.batch_size]
            padded = [*piece, *[piece[-1]] * (self.batch_size - len(piece))]
            ids, paddings = map(np.stack, zip(*map(self.encoder, padded)))
            parts.append(np.asarray(self._encode(self._arrays, ids, paddings))[: len(piece)])
        place = {text: row for row, text in enumerate(distinct)}
        return np.concatenate(parts)[[place[text] for text in wanted]]

    def cut(self, texts: Sequence[str]) -> int:
        """Return how many texts have more tokens than the tower reads; the rest of them is not seen."""
        long = dataclasses.replace(self.encoder, length=max(LONGEST, self.encoder.length + 1))
        counts = [int((1 - long(text)[1]).sum()) for text in texts]
        return sum(count > self.encoder.length for count in counts)
