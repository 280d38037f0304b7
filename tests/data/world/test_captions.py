"""Clean captions tell the truth; speech-like ones stray as often as stated."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.data.world import captions, truth, world

MADE = world.World(segments=2)
FEW = settings(max_examples=25, deadline=None)


@functools.cache
def _shown(index: int) -> truth.Truth:
    return MADE.truth(index)


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@FEW
@given(index=st.integers(0, 500), seed=st.integers(0, 500), forms=st.integers(1, 4), named=st.booleans())
def test_clean_captions_name_what_is_shown_and_nothing_else(
    index: int, seed: int, forms: int, named: bool
) -> None:
    shown = MADE.truth(index)
    text = captions.clean(shown, _rng(seed), motion_captions=float(named), forms=forms)
    words = text.replace(",", "").split()
    assert [word for word in words if word in truth.SPECIES] == [shown.species]
    assert [word for word in words if word in truth.COLOURS] == [shown.colour]
    assert captions.BACKGROUND_PHRASES[shown.background] in text
    told = [
        phrase for phrase in captions.MOTION_PHRASES.values() if f" {phrase} " in f"{text} ".replace(",", " ")
    ]
    expected = {captions.MOTION_PHRASES[motion] for _, _, motion in shown.segments} if named else set()
    assert set(told) == expected


def test_one_form_gives_one_caption_an_appearance() -> None:
    texts = {}
    for index in range(400):
        shown = _shown(index)
        key = (shown.species, shown.colour, shown.background)
        texts.setdefault(key, set()).add(captions.clean(shown, _rng(index), motion_captions=0.0))
    assert all(len(group) == 1 for group in texts.values())
    assert len(set.union(*texts.values())) == len(texts)


@FEW
@given(index=st.integers(0, 500), seed=st.integers(0, 10_000), dropped=st.floats(0, 1))
def test_speech_is_lower_case_words_without_marks(index: int, seed: int, dropped: float) -> None:
    text = captions.asr_like(
        MADE.truth(index), MADE.truth(index + 1), _rng(seed), motion_captions=0.5, dropped=dropped
    )
    assert text
    assert all(character.islower() or character == " " for character in text)
    assert text == " ".join(text.split())


def _words(text: str, vocabulary: tuple[str, ...]) -> list[str]:
    return [word for word in text.split() if word in vocabulary]


def test_speech_strays_as_often_as_stated() -> None:
    still = {"motion_captions": 0.0, "shifted": 0.0, "wrong": 0.0, "dropped": 0.0, "filler": 0.0}
    truths = [_shown(i) for i in range(601)]

    def share(**knobs: float) -> float:
        strayed = 0
        for i in range(600):
            text = captions.asr_like(truths[i], truths[i + 1], _rng(i), **(still | knobs))
            strayed += _words(text, truth.SPECIES) != [truths[i].species]
        return strayed / 600

    assert share() == 0
    # A word drawn from ten is right once in ten; so is a neighbour's.
    assert abs(share(wrong=0.4) - 0.36) < 0.05
    assert abs(share(shifted=0.4) - 0.36) < 0.05
    assert abs(share(dropped=0.4) - 0.4) < 0.05
    assert share(filler=0.9) == 0
    long = captions.asr_like(truths[0], truths[1], _rng(0), **(still | {"filler": 0.9}))
    assert len(long.split()) > len(captions.asr_like(truths[0], truths[1], _rng(0), **still).split())


@pytest.mark.slow  # draws 800 captions
def test_share_of_noisy_captions_in_a_world() -> None:
    clean, noisy = world.World(), world.World(caption_noise=0.4)
    differ = np.mean([clean.caption(i) != noisy.caption(i) for i in range(400)])
    assert abs(differ - 0.4) < 0.07
