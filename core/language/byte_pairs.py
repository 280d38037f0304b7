"""Byte-level byte-pair encoding, as of GPT-2: words are split by a pattern, then bytes merge by rank.

Source: Radford et al. 2019; the pattern by Unicode category needs no regular expressions with properties.
"""

import dataclasses
import functools
import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence

from prismlab.core import errors

_SHORT = re.compile(r"'(?:s|t|re|ve|m|ll|d)")
# Of the kinds of characters: L letter, N number, S the blank, W other white space, O anything else.
_PIECE = re.compile(r"S?L+|S?N+|S?O+|[SW]+(?![^SW])|[SW]+")
_LONGEST = 1 << 20  # characters of a text


@functools.cache
def byte_signs() -> dict[int, str]:
    """Return byte -> the printable character that stands for it in vocabulary files."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    signs = {byte: chr(byte) for byte in plain}
    others = [byte for byte in range(256) if byte not in signs]
    return signs | {byte: chr(256 + number) for number, byte in enumerate(others)}


def _kind(sign: str) -> str:
    category = unicodedata.category(sign)
    if category[0] in "LN":
        return category[0]
    if sign == " ":
        return "S"
    return "W" if sign.isspace() else "O"


def pieces(text: str, single_digits: bool = False) -> list[str]:
    """Split a text into the pieces within which bytes merge.

    Args:
        text: any text.
        single_digits: each digit is a piece of its own, and takes no blank, as in SmolLM.
    """
    kinds = "".join(map(_kind, text))
    bounds = [0, len(text)]
    if single_digits:
        bounds += [edge for at, kind in enumerate(kinds) if kind == "N" for edge in (at, at + 1)]
    bounds = sorted(set(bounds))
    found = []
    for start, end in itertools.pairwise(bounds):
        at = start
        while at < end:
            match = _SHORT.match(text, at, end) or _PIECE.match(kinds, at, end)
            assert match is not None
            found.append(text[at : match.end()])
            at = match.end()
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class BytePairs:
    """A tokenizer.

    Args:
        tokens: text of each id, bytes written as `byte_signs` has them.
        merges: pairs of texts in the order in which they merge.
        special: ids that texts never contain and decoding leaves out.
        single_digits: see `pieces`.

    Raises:
        UserError: a character of ASCII or the result of a merge is no token.
    """

    tokens: Sequence[str]
    merges: Sequence[tuple[str, str]]
    special: frozenset[int] = frozenset()
    single_digits: bool = False

    def __post_init__(self) -> None:
        # Bytes that no text of UTF-8 has may lack a token.
        missing = [chr(byte) for byte in range(33, 127) if chr(byte) not in self._ids]
        lost = [first + second for first, second in self.merges if first + second not in self._ids]
        if missing or lost:
            raise errors.UserError(
                f"tokenizer: expected a token for every character of ASCII and every merge, found none for "
                f"{(missing + lost)[0]!r} and {len(missing) + len(lost) - 1} more; is "
                "this a byte-level vocabulary (GPT-2)?"
            )

    @property
    def vocabulary(self) -> int:
        """Number of ids."""
        return len(self.tokens)

    @functools.cached_property
    def _ids(self) -> Mapping[str, int]:
        return {token: index for index, token in enumerate(self.tokens) if index not in self.special}

    @functools.cached_property
    def _ranks(self) -> Mapping[tuple[str, str], int]:
        return {pair: rank for rank, pair in enumerate(self.merges)}

    @functools.cached_property
    def _known(self) -> dict[str, list[int]]:
        return {}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; special ids do not occur, whatever the text is.

        A byte without a token is left out, as Hugging Face's tokenizers do; learnt vocabularies have all.

        Raises:
            UserError: the text is too long.
        """
        if len(text) > _LONGEST:
            raise errors.UserError(f"tokenizer: expected at most {_LONGEST} characters, found {len(text)}")
        found: list[int] = []
        for piece in pieces(text, self.single_digits):
            if piece not in self._known:
                self._known[piece] = [self._ids[part] for part in self._merged(piece) if part in self._ids]
            found += self._known[piece]
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; bytes that are no UTF-8 become U+FFFD."""
        bytes_of = _sign_bytes()
        kept = (self.tokens[index] for index in ids if index not in self.special)
        return b"".join(bytes([bytes_of[sign]]) if sign in bytes_of else sign.encode() for token in kept
                        for sign in token).decode("utf-8", "replace")  # fmt: skip

    def _merged(self, piece: str) -> list[str]:
        signs = byte_signs()
        parts = [signs[byte] for byte in piece.encode("utf-8", "replace")]
        last = len(self._ranks)
        while len(parts) > 1:
            ranks = [self._ranks.get(pair, last) for pair in itertools.pairwise(parts)]
            best = min(ranks)
            if best == last:
                break
            first, second = self.merges[best]
            joined: list[str] = []
            at = 0
            while at < len(parts):
                if at + 1 < len(parts) and (parts[at], parts[at + 1]) == (first, second):
                    joined.append(first + second)
                    at += 2
                else:
                    joined.append(parts[at])
                    at += 1
            parts = joined
        return parts


@functools.cache
def _sign_bytes() -> dict[str, int]:
    return {sign: byte for byte, sign in byte_signs().items()}


def learnt(texts: Sequence[str], vocabulary: int, special: Sequence[str] = ("<end>",)) -> BytePairs:
    """Learn a tokenizer from texts: the most frequent pair merges first, ties by the pair itself.

    Args:
        texts: the texts.
        vocabulary: largest number of ids; fewer where every piece is one token already.
        special: special tokens, the last ids.
    """
    signs = byte_signs()
    counts: dict[tuple[str, ...], int] = {}
    for text in texts:
        for piece in pieces(text):
            split = tuple(signs[byte] for byte in piece.encode())
            counts[split] = counts.get(split, 0) + 1
    merges: list[tuple[str, str]] = []
    while len(signs) + len(merges) + len(special) < vocabulary:
        pairs: dict[tuple[str, str], int] = {}
        for parts, count in counts.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] = pairs.get(pair, 0) + count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        counts = {_joined(parts, best): count for parts, count in counts.items()}
    plain = dict.fromkeys([*signs.values(), *(first + second for first, second in merges)])
    ends = range(len(plain), len(plain) + len(special))
    return BytePairs((*plain, *special), tuple(merges), frozenset(ends))


def _joined(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    made: list[str] = []
    for part in parts:
        # The last of a run of equal parts was joined already, and is no part of the pair any more.
        if made and (made[-1], part) == pair:
            made[-1] += part
        else:
            made.append(part)
    return tuple(made)
