"""Tokenize captions with a SentencePiece model, after the text normalization of the official release.

The public text towers were trained with the vocabulary that T5 published as `c4_en`: 32,000 pieces at
gs://t5-data/vocabs/cc_en.32000/sentencepiece.model. Download it once and give its path as `model`; the
release publishes no checksum for it. It has no bos token, so none is prepended; if a model has one, it is
prepended, as in the release. An eos token is never appended.
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

from prismlab.core import code_fingerprint, errors
from prismlab.core.io import filesystem, user_paths
from prismlab.data.loader import source

_PUNCTUATION = str.maketrans(string.punctuation, " " * len(string.punctuation))


def canonicalise(text: str) -> str:
    """Normalize a caption: lower case, no punctuation, single spaces, a final full stop.

    Args:
        text: any text.

    Source: official release, canonicalize_text.
    """
    return re.sub(r"\s+", " ", text.translate(_PUNCTUATION).lower()).strip() + "."


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """SentencePiece tokenizer, trained on the captions of the sources or loaded from a model file.

    Args:
        sources: sources whose captions it is trained on; use the same ones for every stage.
        vocabulary: vocabulary size (an upper bound when trained here).
        length: l, tokens per caption; longer captions are truncated, shorter ones padded with id 0.
        model: path of a SentencePiece model file; requires `sources` to be empty.
    """

    sources: tuple[source.Source, ...] = ()
    vocabulary: int = 256
    length: int = 64
    model: str | None = None

    def __post_init__(self) -> None:
        if bool(self.sources) == bool(self.model):
            raise errors.UserError("set exactly one of Tokenizer.sources and Tokenizer.model")
        if self.length < 1 or self.vocabulary < 8:
            raise errors.UserError(
                f"expected length >= 1 and vocabulary >= 8, got {self.length} and {self.vocabulary}"
            )

    def prepare(self, cache: pathlib.Path) -> "Encoder":
        """Return the encoder; trains the model on first use and caches it.

        Args:
            cache: directory shared by runs.

        Raises:
            UserError: the model file is missing or is not a SentencePiece model.
        """
        if self.model is not None:
            path = user_paths.local(self.model)
        else:
            opened = [each.open(cache) for each in self.sources]
            # Key the cache by the contents of the sources, not their paths: a folder's files may change.
            made_by = code_fingerprint.digest([__name__])
            known = source.fingerprint((self, [source.contents(each) for each in opened], made_by))
            path = cache / f"tokenizer-{known}.model"
            if not path.is_file():
                texts = (each[i].caption for each in opened for i in range(len(each)))
                captions = {canonicalise(text) for text in texts if text is not None}
                if not captions:
                    raise errors.UserError(
                        "tokenizer.Tokenizer.sources: expected captions to train on, but no clip has one; "
                        "add a source with captions, or set tokenizer.Tokenizer.model"
                    )
                filesystem.write_atomic(path, _train(sorted(captions), self.vocabulary))
        if not path.is_file():
            raise errors.UserError(f"tokenizer model {path} does not exist; set tokenizer.Tokenizer.model")
        encoder = Encoder(path.read_bytes(), self.length, str(path))
        _processor(encoder.model, encoder.name)  # report an invalid model now, not in the loader
        return encoder


def _train(captions: list[str], vocabulary: int) -> bytes:
    model = io.BytesIO()
    # Plus three special pieces and the word boundary marker.
    letters = len(set("".join(captions)) - {" "}) + 4
    if vocabulary < letters:
        raise errors.UserError(
            f"tokenizer.Tokenizer.vocabulary={vocabulary} is smaller than the {letters} pieces "
            "needed to cover the characters of the captions; raise it"
        )
    # hard_vocab_limit=False allows fewer pieces on a small corpus; one thread keeps training deterministic.
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(captions), model_writer=model, vocab_size=vocabulary, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=1, minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


@functools.lru_cache(maxsize=4)
def _processor(model: bytes, name: str) -> sentencepiece.SentencePieceProcessor:
    try:
        if not model:  # the library would hang on an empty model
            raise RuntimeError("the file is empty")
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        reason = " ".join(str(error).split()) or "it cannot be parsed"
        raise errors.UserError(
            f"{name} is not a SentencePiece model ({reason}); set tokenizer.Tokenizer.model"
        ) from error


@dataclasses.dataclass(frozen=True)
class Encoder:
    """Loaded tokenizer; picklable, so it can be sent to loader workers.

    Args:
        model: the serialized SentencePiece model.
        length: l, tokens per caption.
        name: name used in error messages.
    """

    model: bytes
    length: int
    name: str

    @property
    def vocabulary(self) -> int:
        """Vocabulary size of the model."""
        return _processor(self.model, self.name).get_piece_size()

    def __call__(self, text: str) -> tuple[Int[np.ndarray, " l"], Float[np.ndarray, " l"]]:
        """Encode one text.

        Args:
            text: any text; it is normalized by `canonicalise` first.

        Returns:
            int32 [l] ids, 0 where padded; float32 [l] paddings, 1.0 where padded.

        Raises:
            UserError: the text cannot be encoded as UTF-8.

        Source: official release, tokenizers.py and models.py (tokenize_texts).
        """
        processor, canonical = _processor(self.model, self.name), canonicalise(text)
        try:
            canonical.encode()  # check here, for a clearer message than the library's
            ids = processor.encode(canonical)
        except UnicodeEncodeError as error:  # a lone surrogate, for example from a byte that is not UTF-8
            raise errors.UserError(
                f"the text {text!r} is not valid Unicode ({error.reason}); correct the caption"
            ) from None
        if processor.bos_id() >= 0:
            ids = [processor.bos_id(), *ids]
        ids = ids[: self.length]
        padded = np.zeros(self.length, np.int32)
        padded[: len(ids)] = ids
        paddings = np.ones(self.length, np.float32)
        paddings[: len(ids)] = 0.0
        return padded, paddings
