"""Byte pairs: any text survives, pieces are those of GPT-2, learnt words are single ids."""

import hypothesis
import hypothesis.strategies as st
import pytest

from prismlab.core import errors
from prismlab.core.language import byte_pairs

SMALL = byte_pairs.learnt(["a red star", "a red ring moving left", "don't"], 400)


@hypothesis.given(st.text(max_size=60))
@hypothesis.example("<end> of a text")
def test_any_text_survives_and_never_makes_a_special_id(text):
    ids = SMALL.encode(text)
    assert SMALL.decode(ids) == text.encode("utf-8", "replace").decode()
    assert not SMALL.special & set(ids)


@hypothesis.given(st.text(alphabet="ab 1²\n\t'st.,é_", max_size=30), st.booleans())
def test_pieces_join_to_the_text(text, single_digits):
    assert "".join(byte_pairs.pieces(text, single_digits)) == text


@pytest.mark.parametrize(
    ("text", "single_digits", "expected"),
    [
        ("Hello world's  end.\n\n ok", False, ["Hello", " world", "'s", " ", " end", ".", "\n\n", " ok"]),
        ("a 12b", False, ["a", " 12", "b"]),
        ("a 12b", True, ["a", " ", "1", "2", "b"]),
        ("x  ", False, ["x", "  "]),
        (" !?é ²", False, [" !?", "é", " ²"]),
        ("we'll'x", False, ["we", "'ll", "'", "x"]),
    ],
)
def test_pieces_are_those_of_the_published_pattern(text, single_digits, expected):
    assert byte_pairs.pieces(text, single_digits) == expected


def test_frequent_words_become_single_ids_with_their_leading_blank():
    assert len(SMALL.encode(" red")) == 1
    assert SMALL.encode("red") != SMALL.encode(" red")
    assert SMALL.vocabulary - 1 in SMALL.special


def test_merges_follow_their_rank():
    signs = list(byte_pairs.byte_signs().values())
    made = byte_pairs.BytePairs((*signs, "bc", "ab", "abc"), (("b", "c"), ("a", "b"), ("a", "bc")))
    assert made.encode("abc") == [258]
    assert made.encode("ab") == [257]
    turned = byte_pairs.BytePairs((*signs, "bc", "ab", "abc"), (("a", "b"), ("b", "c"), ("a", "bc")))
    assert turned.encode("abc") == [257, signs.index("c")]


def test_a_vocabulary_of_another_kind_is_refused():
    with pytest.raises(
        errors.UserError, match="expected a token for every character of ASCII and every merge"
    ):
        byte_pairs.BytePairs(("▁the", "a"), ())
