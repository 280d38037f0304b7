"""CIDEr-D equals the official evaluation, a brute-force definition, and its own corner cases."""

import importlib.util
import json
import math
import pathlib
import random

import golden_models
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.metrics.answers import cider, penn_words

GOLDEN = json.loads((golden_models.GOLDEN / "captions.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("text", "expected"), GOLDEN["words"])
def test_words_are_those_of_the_official_tokenizer(text, expected):
    assert penn_words.words(text) == expected


def corpus(seed, count):
    """Return the captions of tests/golden/make_captions.py."""
    rng = random.Random(seed)
    say = lambda: " ".join(rng.choice("abcdefg") for _ in range(rng.randint(1, 9)))
    return [(say(), [say() for _ in range(rng.randint(1, 3))]) for _ in range(count)]


@pytest.mark.parametrize("kept", GOLDEN["cider"], ids=lambda kept: str(kept["count"]))
def test_scores_are_those_of_the_official_code(kept):
    made = corpus(kept["seed"], kept["count"])
    found = cider.scores([said.split() for said, _ in made], [[r.split() for r in each] for _, each in made])
    np.testing.assert_allclose(found, kept["scores"], rtol=1e-9, atol=1e-12)


@pytest.mark.skipif(importlib.util.find_spec("pycocoevalcap") is None, reason="pycocoevalcap not installed")
def test_scores_equal_an_installed_pycocoevalcap():
    package = pathlib.Path(importlib.util.find_spec("pycocoevalcap").origin).parent
    spec = importlib.util.spec_from_file_location("cider_scorer", package / "cider" / "cider_scorer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made, scorer = corpus(7, 30), module.CiderScorer()
    for said, each in made:
        scorer += (said, each)
    found = cider.scores([said.split() for said, _ in made], [[r.split() for r in each] for _, each in made])
    np.testing.assert_allclose(found, scorer.compute_score()[1], rtol=1e-9, atol=1e-12)


def grams(words, size):
    return [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]


def by_definition(said, references):
    """Compute CIDEr-D over an explicit list of all n-grams."""
    scores = []
    for own, those in zip(said, references):
        total = 0.0
        for one in those:
            for size in (1, 2, 3, 4):
                every = sorted(set(grams(own, size)) | set(grams(one, size)))
                seen = lambda gram, size=size: sum(
                    any(gram in grams(words, size) for words in each) for each in references
                )
                weight = np.array([math.log(len(said) / max(1, seen(gram))) for gram in every])
                mine, theirs = (
                    weight * [grams(words, size).count(gram) for gram in every] for words in (own, one)
                )
                norm = np.linalg.norm(mine) * np.linalg.norm(theirs)
                alike = float(np.minimum(mine, theirs) @ theirs)
                spread = max(0, len(own) - 1) - max(0, len(one) - 1)
                total += (alike / norm if norm else alike) * math.exp(-(spread**2) / 72)
        scores.append(10 * total / 4 / len(those))
    return scores


words = st.lists(st.sampled_from("abc"), max_size=6)


@hypothesis.given(st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=2)), min_size=1, max_size=4))
def test_scores_equal_the_definition(made):
    said, references = [one for one, _ in made], [each for _, each in made]
    np.testing.assert_allclose(cider.scores(said, references), by_definition(said, references), atol=1e-9)


def of(*pairs):
    right = [texts.Reference(str(n), str(n), tuple(each)) for n, (_, each) in enumerate(pairs)]
    return cider.Cider()([said for said, _ in pairs], right)


def test_one_clip_scores_zero_and_says_so():
    made = of(("a red star", ["a red star"]))
    assert made.value == 0.0
    assert "of one clip is 0" in made.notes["warning"]


def test_the_value_depends_on_the_other_clips():
    same = ("A red star moves left!", ["a red star moves left"])
    few = of(same, ("a ring", ["a green ring"]))
    many = of(same, *[(f"word{n}", [f"other{n} words"]) for n in range(20)])
    assert few.outcomes[0] == pytest.approx(10.0)
    assert many.outcomes[0] == pytest.approx(10.0)
    assert few.outcomes[1] != pytest.approx(0.0)


def test_an_empty_caption_scores_zero_and_is_counted():
    made = of(("", ["a red star"]), ("a ring", ["a ring"]))
    assert made.outcomes[0] == 0.0
    assert made.notes["empty captions generated"] == 1
