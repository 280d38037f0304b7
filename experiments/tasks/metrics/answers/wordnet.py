"""WordNet from its database files (the folder of Debian's `wordnet-base`): synsets, base forms, similarity.

Source: wndb(5WN), morphy(7WN); Wu & Palmer 1994 as NLTK computes it on version 3.0.
"""

import collections
import dataclasses
import functools
import posixpath
from collections.abc import Mapping, Sequence

from prismlab.core import errors
from prismlab.core.io import filesystem, user_paths

PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}  # in the order in which a word is looked up
_LIMIT = 1 << 26  # bytes of a file; data.noun has 15 MB
# Endings of inflected forms -> of base forms.
_ENDINGS = {
    "n": (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
          ("men", "man"), ("ies", "y")),
    "v": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"),
          ("ing", "")),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}  # fmt: skip
_UP = ("@", "@i")  # pointers to a hypernym, and from an instance to its class
Synset = tuple[str, int]  # part of speech and place in its file


@dataclasses.dataclass(frozen=True, eq=False)
class WordNet:
    """The database.

    Args:
        senses: part of speech -> word -> its synsets, most frequent first.
        exceptions: part of speech -> inflected form -> base forms.
        above: synset -> its hypernyms.
        names: synset -> name by which ties are decided.
    """

    senses: Mapping[str, Mapping[str, Sequence[int]]]
    exceptions: Mapping[str, Mapping[str, Sequence[str]]]
    above: Mapping[Synset, Sequence[Synset]]
    names: Mapping[Synset, str]

    def base(self, word: str, part: str) -> list[str]:
        """Return the base forms of a word as a part of speech: exceptions, else by its ending."""
        listed = self.exceptions[part].get(word)
        if listed is not None:
            return [form for form in dict.fromkeys([word, *listed]) if form in self.senses[part]]
        forms = [word]
        while forms:
            kept = [form for form in dict.fromkeys(forms) if form in self.senses[part]]
            if kept:
                return kept
            # Endings are taken off again until a form is a word, as NLTK does.
            forms = [
                form[: -len(old)] + new
                for form in forms
                for old, new in _ENDINGS[part]
                if form.endswith(old) and len(form) > len(old)
            ]
        return []

    def first(self, word: str) -> Synset | None:
        """Return the first synset of a word: nouns before verbs, adjectives and adverbs."""
        plain = word.lower()
        for part in PARTS.values():
            for form in self.base(plain, part):
                return part, self.senses[part][form][0]
        return None

    def similarity(self, one: Synset, other: Synset) -> float | None:
        """Return the similarity of Wu and Palmer, or None without a common hypernym.

        2 * depth / (distances to the deepest common hypernym + 2 * depth). Nouns have one root; with any
        other part of speech a root above everything is assumed.
        """
        root = one[0] != "n" or other[0] != "n"
        mine, theirs = self._distances(one, root), self._distances(other, root)
        common = set(mine) & set(theirs)
        if not common:
            return None
        deepest = max(map(self._least, common))
        # Of hypernyms at one depth the synset itself, else the first by name.
        chosen = min(
            (each for each in common if self._least(each) == deepest),
            key=lambda each: (each != one, self.names.get(each, "*ROOT*")),
        )
        depth = self._most(chosen) + 1
        apart = self._apart(one, chosen, root) + self._apart(other, chosen, root)
        return 2.0 * depth / (apart + 2.0 * depth)

    def _apart(self, low: Synset, high: Synset, root: bool) -> int:
        """Return the shortest path between two synsets over a common hypernym."""
        mine, theirs = self._distances(low, root), self._distances(high, root)
        return min(mine[each] + theirs[each] for each in set(mine) & set(theirs))

    def _distances(self, start: Synset, root: bool) -> dict[Synset, int]:
        found: dict[Synset, int] = {}
        waiting = collections.deque([(start, 0)])
        while waiting:
            each, distance = waiting.popleft()
            if each not in found:
                found[each] = distance
                waiting.extend((above, distance + 1) for above in self.above.get(each, ()))
        if root and start != _ROOT:
            found[_ROOT] = max(found.values()) + 1
        return found

    def _least(self, each: Synset) -> int:
        above = self.above.get(each, ())
        return 1 + min(map(self._least, above)) if above else 0

    def _most(self, each: Synset) -> int:
        above = self.above.get(each, ())
        return 1 + max(map(self._most, above)) if above else 0


_ROOT: Synset = ("*", 0)


@functools.lru_cache(maxsize=1)
def load(folder: str) -> WordNet:
    """Read the database.

    Args:
        folder: with index.noun, data.noun, noun.exc and the same of verb, adj and adv.

    Raises:
        UserError: a file is missing or is none of WordNet.
    """
    home = user_paths.expand(folder)
    senses: dict[str, dict[str, list[int]]] = {}
    exceptions: dict[str, dict[str, list[str]]] = {}
    above: dict[Synset, list[Synset]] = {}
    first_words: dict[Synset, str] = {}
    for name, part in PARTS.items():
        senses[part] = _index(posixpath.join(home, f"index.{name}"))
        exceptions[part] = {}
        for line in _lines(posixpath.join(home, f"{name}.exc")):
            inflected, *bases = line.split()
            exceptions[part].setdefault(inflected, []).extend(bases)
        _data(posixpath.join(home, f"data.{name}"), part, above, first_words)
    lost = [each for ups in above.values() for each in ups if each not in above]
    lost += [(part, at) for part, words in senses.items() for places in words.values() for at in places
             if (part, at) not in above]  # fmt: skip
    if lost:
        raise errors.UserError(
            f"{folder}: expected the files of one release of WordNet, found {len(lost)} synsets that are "
            "named and missing"
        )
    _check_tree(folder, above)
    names = {}
    for each, word in first_words.items():
        places = senses[each[0]].get(word.lower(), [])
        number = places.index(each[1]) + 1 if each[1] in places else 0
        names[each] = f"{word.lower()}.{each[0]}.{number:02d}"
    return WordNet(senses, exceptions, above, names)


def _lines(path: str) -> list[str]:
    if filesystem.file_type(path) != "file":
        raise errors.UserError(
            f"{path}: expected a file of WordNet, found none; name the folder of Debian's wordnet-base "
            "(usr/share/wordnet) or WordNet's dict"
        )
    text = filesystem.read(path, _LIMIT).decode("utf-8", "replace")
    return [line for line in text.split("\n") if line and not line.startswith("  ")]


def _index(path: str) -> dict[str, list[int]]:
    found, lines, line = {}, _lines(path), ""
    try:
        for line in lines:
            word, _, count, *rest = line.split()
            pointers = int(rest[0])
            places = [int(each) for each in rest[pointers + 3 :]]
            if not places or len(places) != int(count):
                raise ValueError
            found[word] = places
    except (ValueError, IndexError):
        raise errors.UserError(f"{path}: expected lines of WordNet's index, found {line[:60]!r}") from None
    return found


def _data(path: str, part: str, above: dict[Synset, list[Synset]], first_words: dict[Synset, str]) -> None:
    lines, line = _lines(path), ""
    try:
        for line in lines:
            parts = line.partition(" | ")[0].split()
            each, words = (part, int(parts[0])), int(parts[3], 16)
            first_words[each] = parts[4].partition("(")[0]
            count_at = 4 + 2 * words
            pointers = parts[count_at + 1 : count_at + 1 + 4 * int(parts[count_at])]
            if len(pointers) != 4 * int(parts[count_at]):
                raise ValueError
            kinds = zip(pointers[::4], pointers[1::4], pointers[2::4])
            # Satellite adjectives are in the file of adjectives.
            above[each] = [(of.replace("s", "a"), int(at)) for kind, at, of in kinds if kind in _UP]
    except (ValueError, IndexError):
        raise errors.UserError(f"{path}: expected lines of WordNet's data, found {line[:60]!r}") from None


def _check_tree(folder: str, above: Mapping[Synset, Sequence[Synset]]) -> None:
    """Raise if hypernyms go in a circle, which a depth does not survive."""
    waiting = {each: len(ups) for each, ups in above.items()}
    below: dict[Synset, list[Synset]] = {}
    for each, ups in above.items():
        for up in ups:
            below.setdefault(up, []).append(each)
    ready = [each for each, count in waiting.items() if not count]
    seen = 0
    while ready:
        seen += 1
        for each in below.get(ready.pop(), ()):
            waiting[each] -= 1
            if not waiting[each]:
                ready.append(each)
    if seen != len(above):
        raise errors.UserError(
            f"{folder}: expected hypernyms without circles, found {len(above) - seen} in one"
        )
