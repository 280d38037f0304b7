"""The one interface of a frozen language model: decoder, tokenizer and special ids."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Bool, Float, Int

from prismlab.core import errors


@runtime_checkable
class Tokenizer(Protocol):
    """Interface of a tokenizer: text to ids and back, without special ids."""

    @property
    def vocabulary(self) -> int:
        """Number of ids."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; a leading blank is part of the first word."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """Interface of a causal decoder; implementations are Equinox modules."""

    @property
    def width(self) -> int:
        """Width of an embedding."""
        ...

    @property
    def vocabulary(self) -> int:
        """Number of ids."""
        ...

    @property
    def context(self) -> int:
        """Largest number of positions."""
        ...

    def embed(self, ids: Int[Array, "b n"]) -> Float[Array, "b n d"]:
        """Return the embeddings of ids."""
        ...

    def empty_cache(self, batch: int, capacity: int) -> Any:
        """Return a key-value cache without positions, of this capacity."""
        ...

    def logits(
        self,
        embeddings: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        cache: Any = None,
        *,
        last: int | None = None,
    ) -> tuple[Float[Array, "b m v"], Any]:
        """Return the logits of the next id at each position, and the cache with these positions added.

        Args:
            embeddings: inputs; any vectors of this width, not only embeddings of ids.
            mask: False for padding, which may be anywhere: it has no position and is never attended to.
            cache: what came before; None for nothing.
            last: number of positions at the end whose logits are computed; None for all.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Special:
    """Special ids of a language model.

    Args:
        end: ends a text.
        pad: fills batches; any id will do, since padding is masked.
        begin: in front of a text if the model was trained so, else None.
    """

    end: int
    pad: int
    begin: int | None = None


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """A frozen language model. Its arrays are inputs of compiled functions and never differentiated.

    Args:
        name: printed beside scores.
        decoder: the weights.
        tokenizer: the one that the decoder was trained with.
        special: its special ids.

    Raises:
        UserError: the tokenizer belongs to another model.
    """

    name: str
    decoder: Any
    tokenizer: Tokenizer
    special: Special

    def __post_init__(self) -> None:
        ids = max(self.special.end, self.special.pad, self.special.begin or 0) + 1
        if self.tokenizer.vocabulary != self.decoder.vocabulary or ids > self.decoder.vocabulary:
            raise errors.UserError(
                f"language model {self.name}: expected a tokenizer of {self.decoder.vocabulary} ids, "
                f"found {self.tokenizer.vocabulary} with special ids up to {ids - 1}; is it the tokenizer of "
                "another model?"
            )

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids up to the end id, with single blanks."""
        kept = list(ids)
        if self.special.end in kept:
            kept = kept[: kept.index(self.special.end)]
        return " ".join(self.tokenizer.decode(kept).split())
