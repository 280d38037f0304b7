"""Captions to token ids: the release's canonical text and a SentencePiece model.

The public text towers were trained with the vocabulary that T5 published as `c4_en`: 32,000 pieces at
gs://t5-data/vocabs/cc_en.32000/sentencepiece.model. Download it once and give its path as `model`; the
release states no digest for it. It has no piece for the beginning of a text (bos), so none is added there; a
model that has one gets it in front, as in the release. The end of a text (eos) is never added.
"""

import dataclasses
import functools
import io
import pathlib
import re
import string

import numpy as np
import sentencepiece
from jaxtyping import Float, Int

from prismlab.core import errors
from prismlab.core.io import atomic
from prismlab.data.loader import source

_PUNCTUATION = str.maketrans(string.punctuation, " " * len(string.punctuation))


def canonicalise(text: str) -> str:
    """Return the text lower-case, without punctuation, single-spaced, ending in a full stop.

    Args:
        text: any text.

    Source: official release, canonicalize_text.
    """
    return re.sub(r"\s+", " ", text.translate(_PUNCTUATION).lower()).strip() + "."


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """A SentencePiece tokenizer: trained on the captions of sources, or read from a model file.

    Args:
        sources: sources whose captions it is trained on; the same ones for every stage.
        vocabulary: number of pieces (upper bound when trained).
        length: l, tokens of a caption; longer ones are cut, shorter ones padded with id 0.
        model: path of a SentencePiece model; then `sources` must be empty.
    """

    sources: tuple[source.Source, ...] = ()
    vocabulary: int = 256
    length: int = 64
    model: str | None = None

    def __post_init__(self) -> None:
        if bool(self.sources) == bool(self.model):
            raise ValueError("give Tokenizer either sources to train on or the path of a model")
        if self.length < 1 or self.vocabulary < 8:
            raise ValueError(f"want length >= 1 and vocabulary >= 8, got {self.length} and {self.vocabulary}")

    def prepare(self, cache: pathlib.Path) -> "Encoder":
        """Return the encoder, training its model once and keeping it in the cache.

        Args:
            cache: directory shared by runs.

        Raises:
            UserError: the model file is missing or is no SentencePiece model.
        """
        if self.model is not None:
            path = pathlib.Path(self.model)
        else:
            opened = [each.open(cache) for each in self.sources]
            # What the sources hold, not what they are called: a folder may change under its name.
            path = (
                cache
                / f"tokenizer-{source.fingerprint((self, [source.contents(each) for each in opened]))}.model"
            )
            if not path.is_file():
                captions = {canonicalise(each[i].caption) for each in opened for i in range(len(each))}
                atomic.write_atomic(path, _train(sorted(captions), self.vocabulary))
        if not path.is_file():
            raise errors.UserError(f"tokenizer model {path} does not exist; set tokenizer.Tokenizer.model")
        encoder = Encoder(path.read_bytes(), self.length, str(path))
        _processor(encoder.model, encoder.name)  # a file that is no model is told now, not in the loader
        return encoder


def _train(captions: list[str], vocabulary: int) -> bytes:
    model = io.BytesIO()
    letters = (
        len(set("".join(captions)) - {" "}) + 4
    )  # and three special pieces and the mark of a word's start
    if vocabulary < letters:
        raise errors.UserError(
            f"tokenizer.Tokenizer.vocabulary={vocabulary} is smaller than the {letters} pieces that "
            "the letters of the captions need; raise it"
        )
    # hard_vocab_limit=False lets a small corpus have fewer pieces; one thread keeps it deterministic.
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(captions), model_writer=model, vocab_size=vocabulary, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=1, minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


@functools.lru_cache(maxsize=4)
def _processor(model: bytes, name: str) -> sentencepiece.SentencePieceProcessor:
    try:
        if not model:  # the library would wait for a model that never comes
            raise RuntimeError("the file is empty")
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        reason = " ".join(str(error).split()) or "it cannot be parsed"
        raise errors.UserError(
            f"{name} is no SentencePiece model ({reason}); set tokenizer.Tokenizer.model"
        ) from error


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A ready tokenizer; picklable, so that loader workers can hold it.

    Args:
        model: the SentencePiece model, serialised.
        length: l, tokens of a caption.
        name: what messages call it.
    """

    model: bytes
    length: int
    name: str

    @property
    def vocabulary(self) -> int:
        """Number of pieces of the model."""
        return _processor(self.model, self.name).get_piece_size()

    def __call__(self, text: str) -> tuple[Int[np.ndarray, " l"], Float[np.ndarray, " l"]]:
        """Encode one text.

        Args:
            text: any text; it is brought to its canonical form first.

        Returns:
            int32 [l] ids, 0 where padded; float32 [l] paddings, 1.0 where padded.

        Raises:
            UserError: the text cannot be written in UTF-8.

        Source: official release, tokenizers.py and models.py (tokenize_texts).
        """
        processor, canonical = _processor(self.model, self.name), canonicalise(text)
        try:
            canonical.encode()  # the library would fail with words of its own
            ids = processor.encode(canonical)
        except UnicodeEncodeError as error:  # half of a surrogate pair, such as a byte that is no UTF-8
            raise errors.UserError(
                f"the text {text!r} is no Unicode text ({error.reason}); write it anew"
            ) from None
        if processor.bos_id() >= 0:
            ids = [processor.bos_id(), *ids]
        ids = ids[: self.length]
        padded = np.zeros(self.length, np.int32)
        padded[: len(ids)] = ids
        paddings = np.ones(self.length, np.float32)
        paddings[: len(ids)] = 0.0
        return padded, paddings
