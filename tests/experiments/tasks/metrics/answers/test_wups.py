"""WUPS by a brute-force definition, its quirks by name, and what it says without WordNet."""

import itertools

import hypothesis
import hypothesis.strategies as st
import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.metrics.answers import wordnet, wups
from tests.experiments.tasks.metrics import lexicon


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lexicon.write(tmp_path_factory.mktemp("wordnet"), lexicon.ANIMALS)


def score(metric, said, *right, kind=""):
    return metric([said], [texts.Reference("q", "c", right, kind)]).value


def alike(net, one, other, threshold):
    value = wups.similarity(net, one, other)
    return value if one == other or value >= threshold else 0.1 * value


def by_definition(net, said, right, threshold):
    """Compute WUPS from the table of all pairs."""
    ways = []
    for words, others in ((said, right), (right, said)):
        best = [max([0.0, *(alike(net, one, other, threshold) for other in others)]) for one in words]
        kept = [value for value in best if value]
        ways.append(0.0 if not kept else list(itertools.accumulate(kept, lambda a, b: a * b))[-1])
    return min(ways)


WORDS = st.lists(st.sampled_from(["dog", "cat", "box", "run", "move", "xyz"]), max_size=3)


@hypothesis.given(WORDS, WORDS, st.sampled_from([0.0, 0.5, 0.9]))
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_values_equal_the_definition(folder, said, right, threshold):
    net = wordnet.load(folder)
    found = score(wups.Wups(folder, threshold), " ".join(said), " ".join(right))
    assert found == pytest.approx(by_definition(net, said, right, threshold))


def test_the_best_reference_counts_and_words_are_brought_to_their_base_form(folder):
    metric = wups.Wups(folder)
    assert score(metric, "two Dogs!", "a box", "two dogs") == 1.0
    # Unknown words are left out of the product, as the official code does.
    assert score(metric, "dog xyz", "dog") == 1.0
    assert score(metric, "xyz", "dog") == 0.0
    assert score(metric, "", "dog") == 0.0
    assert score(metric, "cat", "dog") == pytest.approx(2 / 3)
    assert score(wups.Wups(folder, 0.9), "cat", "dog") == pytest.approx(0.1 * 2 / 3)


def test_some_types_count_by_exact_match(folder):
    assert score(wups.Wups(folder), "cat", "dog", kind="DB") == 0.0
    assert score(wups.Wups(folder), "dogs", "cat", "dog", kind="DC") == 1.0
    made = wups.Wups(folder)(["cat", "cat"], [texts.Reference("a", "a", ("dog",), "DB"),
                                              texts.Reference("b", "b", ("cat",), "CW")])  # fmt: skip
    assert made.notes["by type"] == "CW 1.000, DB 0.000"


def test_stop_words_are_dropped(folder, tmp_path):
    (tmp_path / "stop.txt").write_text("box\nthe\n")
    plain, dropping = wups.Wups(folder), wups.Wups(folder, stop_words=str(tmp_path / "stop.txt"))
    assert score(plain, "dog box", "dog") < 1.0
    assert score(dropping, "the dog box", "dog") == 1.0


def test_without_wordnet_the_metric_says_what_is_missing(folder):
    assert "set wups.Wups.wordnet to the folder of Debian's wordnet-base" in wups.Wups().missing()
    assert wups.Wups(folder).missing() == ""
    assert wups.Wups(folder, 0.9).name == "WUPS@0.9 (morphy)"
    with pytest.raises(errors.UserError, match="threshold must be in"):
        wups.Wups(folder, 2.0)
