"""WordNet: base forms, similarity by a brute-force definition and as NLTK computes it, damaged files."""

import json
import pathlib
import tempfile

import golden_models
import hypothesis
import hypothesis.strategies as st
import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.metrics.answers import wordnet
from tests.experiments.tasks.metrics import lexicon

ROOT = "*ROOT*"
DEBIAN = pathlib.Path("/usr/share/wordnet")


@pytest.fixture
def net(tmp_path):
    return wordnet.load(lexicon.write(tmp_path, lexicon.ANIMALS, "men man\nmen men\n"))


@pytest.mark.parametrize(
    ("word", "part", "expected"),
    [("dogs", "n", ["dog"]), ("boxes", "n", ["box"]), ("men", "n", ["man"]), ("running", "v", []),
     ("runs", "v", ["run"]), ("moving", "v", ["move"]), ("dog", "n", ["dog"]), ("xyz", "n", [])],
)  # fmt: skip
def test_base_forms(net, word, part, expected):
    assert net.base(word, part) == expected


def test_the_first_sense_is_a_noun_where_there_is_one(net):
    assert net.first("Dogs")[0] == "n"
    assert net.first("moved")[0] == "v"
    assert net.first("xyz") is None


def test_similarity_by_hand(net):
    of = lambda one, other: net.similarity(net.first(one), net.first(other))
    assert of("dog", "cat") == pytest.approx(2 * 2 / (1 + 1 + 4))
    assert of("dog", "animal") == pytest.approx(2 * 2 / (1 + 0 + 4))
    assert of("dog", "box") == pytest.approx(2 * 1 / (2 + 1 + 2))
    # Noun and verb meet in a root that is above everything.
    assert of("dog", "run") == pytest.approx(2 * 1 / (3 + 2 + 2))


def paths(above, start):
    """Return every path from a word upwards."""
    return (
        [[start]]
        if not above[start]
        else [[start, *rest] for up in above[start] for rest in paths(above, up)]
    )


def by_definition(above, one, other):
    """Compute the similarity from all paths to the roots."""
    root = not (one.endswith(".n") and other.endswith(".n"))
    ups = lambda word: {each for path in paths(above, word) for each in path}

    def far(word, top):
        if top == ROOT:  # NLTK: one more than the farthest hypernym
            return 0 if word == ROOT else max(far(word, each) for each in ups(word)) + 1
        return min(path.index(top) for path in paths(above, word) if top in path)

    every = {word: ups(word) | ({ROOT} if root else set()) for word in (one, other)}
    common = every[one] & every[other]
    if not common:
        return None
    # The root is as deep as the tops that it is above, and first by name: so NLTK prefers it to them.
    least = lambda word: 0 if word == ROOT else min(len(path) for path in paths(above, word)) - 1
    best = [each for each in common if least(each) == max(map(least, common))]
    chosen = one if one in best else min(best)
    depth = 1 if chosen == ROOT else max(len(path) for path in paths(above, chosen))
    if chosen == ROOT:
        return 2.0 / (far(one, ROOT) + far(other, ROOT) + 2.0)
    apart = lambda word: min(far(word, up) + far(chosen, up) for up in ups(word) & ups(chosen))
    return 2.0 * depth / (apart(one) + apart(other) + 2.0 * depth)


@hypothesis.settings(max_examples=15)
@hypothesis.given(
    st.lists(
        st.tuples(st.sampled_from("nnv"), st.sets(st.integers(0, 8), max_size=2)), min_size=2, max_size=9
    )
)
def test_similarity_equals_the_definition(made):
    names = [f"w{number}.{part}" for number, (part, _) in enumerate(made)]
    above = {
        name: [names[up] for up in sorted(ups) if up < number and names[up][-1] == part]
        for number, (name, (part, ups)) in enumerate(zip(names, made))
    }
    with tempfile.TemporaryDirectory() as folder:
        net = wordnet.load(lexicon.write(pathlib.Path(folder), above))
    places = {word: each for each, word in net.names.items()}
    place = lambda name: places[f"{name[:-2]}.{name[-1]}.01"]
    for one in names:
        for other in names:
            found, expected = net.similarity(place(one), place(other)), by_definition(above, one, other)
            assert found == (None if expected is None else pytest.approx(expected)), (one, other, above)


@pytest.mark.slow
@pytest.mark.skipif(not (DEBIAN / "data.noun").is_file(), reason="Debian's wordnet-base is not installed")
def test_similarity_equals_that_of_nltk():
    net = wordnet.load(str(DEBIAN))
    for one, other, expected in json.loads((golden_models.GOLDEN / "wordnet.json").read_text()):
        first, second = net.first(one), net.first(other)
        found = net.similarity(first, second) if first and second else None
        assert found == (None if expected is None else pytest.approx(expected)), (one, other)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.noun", "100 03 n 01 dog\n", "expected lines of WordNet's data, found '100 03 n 01 dog'"),
        ("index.noun", "dog n 1 1 @ 1 0 00009999\n", "found 1 synsets that are named and missing"),
        ("index.verb", "dog v 2 1 @ 1 0 00000180\n", "expected lines of WordNet's index, found 'dog v 2"),
        ("data.verb", "160 03 v 01 a 0 001 @ 170 v 0000\n170 03 v 01 b 0 001 @ 160 v 0000\n"
                      "180 03 v 01 c 0 000\n", "expected hypernyms without circles, found 2 in one"),
    ],
)  # fmt: skip
def test_damaged_files_are_one_line(tmp_path, name, content, message):
    folder = lexicon.write(tmp_path, lexicon.ANIMALS)
    (tmp_path / name).write_text(content)
    with pytest.raises(errors.UserError, match=message):
        wordnet.load(folder)


def test_a_folder_without_wordnet_says_what_to_name(tmp_path):
    with pytest.raises(errors.UserError, match="found none; name the folder of Debian's wordnet-base"):
        wordnet.load(str(tmp_path))
