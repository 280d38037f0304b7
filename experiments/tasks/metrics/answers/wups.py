"""WUPS of answers of a few words: products of word similarities in WordNet, the metric of NExT-QA open-ended.

Source: doc-doc/NExT-OE (metrics.py, eval_oe.py), whose lemmas come from a tagger that is on no registry;
lemmas here are the base forms of WordNet's own rules (morphy), so the name says so.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from prismlab.core import errors
from prismlab.core.io import filesystem, user_paths
from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.metrics import measured
from prismlab.experiments.tasks.metrics.answers import exact_match, penn_words, wordnet

_LOWERED = 0.1  # factor of similarities below the threshold


@dataclasses.dataclass(frozen=True)
class Wups:
    """Mean over questions of the best WUPS over references.

    Of two answers it is the smaller one of two directions: for each word its best similarity with a word of
    the other answer, multiplied; words without any similarity are left out of the product, as the official
    code does. Similarity of words is that of the first synset of each, 1 for equal words.

    Args:
        wordnet: folder of WordNet 3.0's files (Debian's wordnet-base: usr/share/wordnet); "" for none, which
            leaves the score out with a line that says so.
        threshold: similarities below are multiplied by 0.1; 0 in the official table, 0.9 in other papers.
        stop_words: file with a word a line that are dropped (NExT-OE's stopwords.txt); "" for none.
        exact: types of questions that count by exact match.
    """

    wordnet: str = ""
    threshold: float = 0.0
    stop_words: str = ""
    exact: tuple[str, ...] = ("DB", "DC")

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise errors.UserError(f"wups.Wups: threshold must be in [0, 1], got {self.threshold}")

    @property
    def name(self) -> str:
        """Name in tables."""
        return "WUPS (morphy)" if not self.threshold else f"WUPS@{self.threshold:g} (morphy)"

    def missing(self) -> str:
        """Return that WordNet is missing, or ""."""
        advice = "set wups.Wups.wordnet to the folder of Debian's wordnet-base (usr/share/wordnet)"
        return "" if self.wordnet else f"no WordNet; {advice}"

    def __call__(self, said: Sequence[str], references: Sequence[texts.Reference]) -> measured.Measured:
        """Return the mean, and that of each type of question in the notes."""
        net = wordnet.load(self.wordnet)
        dropped = _listed(self.stop_words) if self.stop_words else frozenset()
        alike = functools.cache(functools.partial(similarity, net))
        lemmas = functools.cache(lambda text: lemmas_of(text, net, dropped))
        values = []
        for text, each in zip(said, references, strict=True):
            own = lemmas(text)
            if each.kind in self.exact:
                values.append(float(any(own == lemmas(one) for one in each.texts)))
                continue
            score = lambda one, own=own: min(
                _one_way(own, lemmas(one), alike, self.threshold),
                _one_way(lemmas(one), own, alike, self.threshold),
            )
            values.append(max(map(score, each.texts)))
        outcomes = np.asarray(values, float)
        notes = exact_match.by_kind(outcomes, references)
        if not self.stop_words:
            notes["stop words"] = "none (NExT-OE drops those of its stopwords.txt)"
        return measured.Measured(float(outcomes.mean()), None, outcomes, notes)


def lemmas_of(text: str, net: wordnet.WordNet, dropped: frozenset[str]) -> tuple[str, ...]:
    """Return the base form of each word: as a noun, else verb, adjective, adverb, else the word itself."""
    found = []
    for word in penn_words.words(text):
        forms = [form for part in wordnet.PARTS.values() for form in net.base(word, part)[:1]]
        found.append(forms[0] if forms else word)
    return tuple(word for word in found if word not in dropped)


def similarity(net: wordnet.WordNet, one: str, other: str) -> float:
    """Return the similarity of two words, 0 if one of them is not in WordNet."""
    if one == other:
        return 1.0
    synsets = net.first(one), net.first(other)
    if synsets[0] is None or synsets[1] is None:
        return 0.0
    return net.similarity(synsets[0], synsets[1]) or 0.0


def _one_way(words: Sequence[str], others: Sequence[str], alike: object, threshold: float) -> float:
    total, found = 1.0, False
    for word in words:
        best = 0.0
        for other in others:
            value = alike(word, other)  # type: ignore[operator]
            best = max(best, value if word == other or value >= threshold else _LOWERED * value)
        if best:
            total, found = total * best, True
    return total if found else 0.0


def _listed(path: str) -> frozenset[str]:
    text = filesystem.read(filesystem.as_path(user_paths.expand(path)), 1 << 24).decode("utf-8", "replace")
    return frozenset(text.split())
