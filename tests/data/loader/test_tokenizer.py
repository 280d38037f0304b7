"""Captions to ids: the release's canonical text, padding, truncation, and models that are none."""

import pickle
import string

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.loader import source, tokenizer
from prismlab.data.video import folder
from prismlab.data.world import world

quick = settings(max_examples=50, deadline=None)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


HOME = source.Rendered(world.World(clips=12, resolution=16, frames=2), workers=0)
TOKENIZER = tokenizer.Tokenizer((HOME,), vocabulary=64, length=10)


@pytest.fixture(scope="module")
def encode(cache):
    return TOKENIZER.prepare(cache)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("A video of Playing Drums", "a video of playing drums."),
        ("hello,world!", "hello world."),
        ("  two\t\nlines  ", "two lines."),
        ("don't stop-now...", "don t stop now."),
        ("", "."),
        ("ÄRGER Straße", "ärger straße."),
    ],
)
def test_canonical_text_follows_the_release(text, canonical):
    assert tokenizer.canonicalise(text) == canonical


@quick
@given(st.text())
def test_canonical_text_is_a_fixed_point(text):
    once = tokenizer.canonicalise(text)
    assert once.endswith(".")
    assert not set(once[:-1]) & set(string.punctuation)
    assert "  " not in once
    assert tokenizer.canonicalise(once) == once


@quick
@given(st.text())
def test_every_text_becomes_ids_then_padding(encode, text):
    ids, paddings = encode(text)
    assert ids.shape == paddings.shape == (10,)
    assert ids.dtype == np.int32
    assert paddings.dtype == np.float32
    used = int((paddings == 0).sum())
    assert used > 0  # even an empty caption has its full stop
    assert paddings.tolist() == [0.0] * used + [1.0] * (10 - used)
    assert np.all(ids[used:] == 0)
    assert np.all(ids[:used] > 1)  # neither padding nor the end of a sentence is ever added
    assert ids.max() < encode.vocabulary


def test_long_captions_are_cut_not_squeezed(encode):
    wide = tokenizer.Encoder(encode.model, 200, encode.name)
    text = "a red circle on a plain background " * 5
    assert np.array_equal(encode(text)[0], wide(text)[0][:10])
    assert encode(text)[1].sum() == 0


def test_letter_case_and_punctuation_do_not_matter(encode):
    assert np.array_equal(encode("A red, circle!")[0], encode("a RED circle")[0])


def test_training_is_deterministic_and_kept(cache, encode, tmp_path):
    assert TOKENIZER.prepare(tmp_path).model == encode.model  # trained afresh from a fresh cache
    (kept,) = cache.glob("tokenizer-*.model")
    assert kept.read_bytes() == encode.model
    assert TOKENIZER.prepare(cache) == encode


def test_an_encoder_travels_to_workers(encode):
    there = pickle.loads(pickle.dumps(encode))
    assert np.array_equal(there("a red circle")[0], encode("a red circle")[0])
    assert 8 <= encode.vocabulary <= 64


def test_a_model_file_is_used_as_it_is(encode, tmp_path):
    (tmp_path / "own.model").write_bytes(encode.model)
    own = tokenizer.Tokenizer(model=str(tmp_path / "own.model"), length=10).prepare(tmp_path)
    assert np.array_equal(own("a red circle")[0], encode("a red circle")[0])


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00" * 100, b'{"pieces": 3}'])
def test_a_file_that_is_no_model_is_refused_when_prepared(content, tmp_path):
    path = tmp_path / "bad.model"
    path.write_bytes(content)
    with pytest.raises(errors.UserError, match=r"bad\.model is not a SentencePiece model"):
        tokenizer.Tokenizer(model=str(path)).prepare(tmp_path)


def test_a_model_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(errors.UserError, match="does not exist"):
        tokenizer.Tokenizer(model=str(tmp_path / "none.model")).prepare(tmp_path)


def test_a_vocabulary_smaller_than_the_alphabet_is_refused(cache):
    with pytest.raises(errors.UserError, match="vocabulary=8"):
        tokenizer.Tokenizer((HOME,), vocabulary=8).prepare(cache)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "exactly one of"),
        ({"model": "x", "sources": (HOME,)}, "exactly one of"),
        ({"model": "x", "length": 0}, "length >= 1"),
        ({"model": "x", "vocabulary": 7}, "vocabulary >= 8"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        tokenizer.Tokenizer(**fields)


def test_a_changed_folder_gives_a_new_model(tmp_path):
    own, cache = tmp_path / "own", tmp_path / "cache"
    HOME.open(tmp_path / "rendered")
    (rendered,) = (tmp_path / "rendered").glob("world-*")
    rendered.rename(own)
    asked = tokenizer.Tokenizer((source.Folder(str(own)),), vocabulary=64)
    before = asked.prepare(cache)
    captions = own / folder.CAPTIONS
    captions.write_text(captions.read_text().replace('"caption": "', '"caption": "quokka '))
    assert asked.prepare(cache).model != before.model


# VideoPrism's five demonstration prompts and the ids that its 32,000-piece vocabulary gives them (stated in
# Hugging Face's conversion script): the shape of these facts must hold for any vocabulary with such pieces.
PROMPTS = {
    "a video of playing drums.": (262, 266, 768, 267, 1376, 14293, 259),
    "a video of sitting.": (262, 266, 768, 267, 2865, 259),
    "a video of playing flute.": (262, 266, 768, 267, 1376, 20682, 259),
    "a video of playing at playground.": (262, 266, 768, 267, 1376, 289, 10691, 259),
    "a video of concert.": (262, 266, 768, 267, 4605, 259),
}


def _spm(path, **options):
    """Write a model whose pieces are the prompts' words, as those of the public vocabulary are."""
    words = sorted({word for prompt in PROMPTS for word in prompt.strip(".").split()})
    # "a" is two pieces there, the mark of a word and the letter.
    pieces = ["▁", "a", *("▁" + word for word in words if word != "a"), "."]
    captions = [*PROMPTS, "the quick brown fox jumps over lazy dogs"] * 50
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(captions), model_prefix=str(path.with_suffix("")), vocab_size=60,
        hard_vocab_limit=False, user_defined_symbols=pieces, num_threads=1, minloglevel=2, **options,
    )  # fmt: skip
    return tokenizer.Tokenizer(model=str(path)).prepare(path.parent)


def test_the_released_prompts_have_the_shape_of_the_published_ids(tmp_path):
    encode = _spm(tmp_path / "a.model", bos_id=-1, pad_id=0, eos_id=1, unk_id=2)
    renamed = {}
    for prompt, published in PROMPTS.items():
        ids, paddings = encode(prompt.upper().replace(".", " !"))
        assert ids.shape == paddings.shape == (64,)
        own = ids[paddings == 0].tolist()
        assert [one for one in own if one == 1] == []  # no end of text
        assert len(own) == len(published), (prompt, own)
        for ours, theirs in zip(own, published):
            assert renamed.setdefault(theirs, ours) == ours
        assert (ids[len(own) :] == 0).all()
        assert (paddings[len(own) :] == 1).all()
    assert len(set(renamed.values())) == len(renamed)


def test_a_beginning_of_text_is_added_where_the_model_has_one(tmp_path):
    encode = _spm(
        tmp_path / "b.model", bos_id=1, eos_id=2, unk_id=0
    )  # no padding piece either, as test_spm.model
    ids, paddings = encode("A video of sitting")
    plain = sentencepiece.SentencePieceProcessor(model_proto=encode.model).encode("a video of sitting.")
    assert ids[paddings == 0].tolist() == [1, *plain]
    assert 2 not in plain
    short = tokenizer.Encoder(encode.model, 3, "short")
    assert short("A video of sitting")[0].tolist() == [1, *plain[:2]]


def test_a_text_that_is_no_unicode_is_refused(tmp_path):
    encode = _spm(tmp_path / "c.model", bos_id=-1, pad_id=0, eos_id=1, unk_id=2)
    with pytest.raises(errors.UserError, match="not valid Unicode"):
        encode("a \udcff video")
