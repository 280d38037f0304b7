"""Words of a caption as in the Penn Treebank, lower case, without punctuation: the tokens of CIDEr.

Own rules in place of the Java program of the official evaluation; `tests/golden/` has its outputs.
"""

import re

# What the official evaluation drops. Brackets stay: its list names them in capitals, the text is lower case.
DROPPED = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
# Words that the Penn Treebank splits.
_SPLIT = {
    "cannot": ("can", "not"), "gonna": ("gon", "na"), "gotta": ("got", "ta"), "wanna": ("wan", "na"),
    "lemme": ("lem", "me"), "gimme": ("gim", "me"), "'tis": ("'t", "is"), "'twas": ("'t", "was"),
}  # fmt: skip
_ABBREVIATION = r"(?:[a-z]\.(?:[a-z]\.)+|(?:mr|mrs|ms|dr|prof|st|sr|jr|vs|etc|inc|ltd|co|no)\.)(?![^\W_])"
_ADDRESS = r"https?://\S+|[\w.]+@\w+(?:\.\w+)+"
_NUMBER = r"\d+(?:[.,:/]\d+)+(?![^\W_])"
_WORD = r"[#@]?[^\W_]+(?:[-_/&.][^\W_]+)*"
_SHORT = r"n't\b|'(?:s|m|d|ll|re|ve)\b|'tis\b|'twas\b|'n'|o'clock\b"
_TOKEN = re.compile(rf"{_ADDRESS}|{_ABBREVIATION}|{_SHORT}|{_NUMBER}|{_WORD}|--+|\.\.\.|\S")
_NOT = re.compile(r"(?<=[^\W_])n't\b")
# Quotation marks become `` and '', which are dropped.
_QUOTES = str.maketrans({"’": "'", "‘": "'", '"': " ", "“": " ", "”": " ", "…": " "})


def words(text: str) -> list[str]:
    """Return the words of a text.

    Args:
        text: a caption; any text.

    Returns:
        Lower-case words, without the punctuation that the official evaluation drops; may be empty.
    """
    plain = _NOT.sub(" n't", text.lower().translate(_QUOTES))
    found: list[str] = []
    for token in _TOKEN.findall(plain):
        found += _SPLIT.get(token, (_BRACKETS.get(token, token),))
    return [token for token in found if token not in DROPPED]
