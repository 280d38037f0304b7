"""The bridge says what features show and nothing else, and all that it is attached to stays frozen."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import spoken

from prismlab.core import errors, trees
from prismlab.core.train import optim
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.language import bridge_fit, training_pairs

ASK = "caption:"


@functools.cache
def fitted(shuffle=False, blind=False):
    model, train = spoken.language_model(), spoken.clips("train", 60, shuffle=shuffle)
    tokens = training_pairs.Tokens.of(training_pairs.Captions().of(train.found, 0), model, 24)
    return bridge_fit.fit(spoken.BRIDGE, model, train.features, tokens, seed=0, blind=blind)


def share_right(made, test):
    said = made.generate(test.features, [(row, ASK) for row in range(len(test.found))], 8, 50)
    return np.mean([text == item.texts[0] for text, item in zip(said, test.found.items, strict=True)])


@pytest.mark.slow
def test_oracle_features_are_said_almost_perfectly():
    made = fitted()
    assert share_right(made, spoken.clips("test", 90)) > 0.95
    assert np.mean(made.losses[-5:]) < 0.6 * made.losses[0]


@pytest.mark.slow
def test_shuffled_captions_give_chance():
    value = share_right(fitted(shuffle=True), spoken.clips("test", 150, shuffle=True))
    assert value < 1 / 6 + 3 * np.sqrt(5 / 36 / 150)


@pytest.mark.slow
def test_the_control_says_one_thing_for_every_clip():
    test = spoken.clips("test", 90)
    said = fitted(blind=True).generate(test.features, [(row, ASK) for row in range(90)], 8, 50)
    assert len(set(said)) == 1
    assert said[0] in {item.texts[0] for item in test.found.items}


@pytest.mark.long
def test_no_gradient_reaches_features_or_language_model():
    model, train = spoken.language_model(), spoken.clips("train", 4)
    tokens = training_pairs.Tokens.of(training_pairs.Captions().of(train.found, 0), model, 24)
    bridge = spoken.BRIDGE.build(8, model, seed=0)

    @eqx.filter_jit
    def gradient(everything):
        whole = lambda one: bridge_fit.loss(
            *one, *map(jnp.asarray, (tokens.ids, tokens.present, tokens.answer))
        )
        return eqx.filter_grad(whole)(everything)

    x = jnp.asarray(train.features.take(np.arange(4))[:, 0])
    own, decoder, features = gradient((bridge, model.decoder, x))
    size = lambda tree: sum(
        float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    )
    assert size(decoder) == 0.0
    assert size(features) == 0.0
    assert all(float(jnp.abs(leaf).max()) > 0 for name, leaf in trees.flatten(own).items() if name != "key/b"
               and "attention/key/b" not in name)  # fmt: skip


@pytest.mark.long
def test_training_changes_no_weight_of_the_language_model():
    model = spoken.language_model()
    before = trees.digest(trees.flatten(model.decoder))
    kept = []
    settings = dataclasses.replace(spoken.BRIDGE, steps=2, optimizer=Noted(optim.AdamW(), kept))
    train = spoken.clips("train", 8)
    tokens = training_pairs.Tokens.of(training_pairs.Captions().of(train.found, 0), model, 24)
    made = bridge_fit.fit(settings, model, train.features, tokens, seed=0)
    assert trees.digest(trees.flatten(model.decoder)) == before
    # Two moments of each number of the bridge, and step counters: nothing of the language model.
    assert 0 < sum(kept) - 2 * made.numbers <= 4
    assert made.numbers < trees.count(model.decoder)


@dataclasses.dataclass(frozen=True, eq=False)
class Noted:
    """An optimizer that notes how many numbers its memory has."""

    inner: object
    kept: list

    @property
    def schedule(self):
        """The schedule."""
        return self.inner.schedule

    def build(self, steps):
        """Return the transformation."""
        made = self.inner.build(steps)

        def init(params):
            memory = made.init(params)
            self.kept.append(trees.count(memory))
            return memory

        return optax.GradientTransformation(init, made.update)


def test_the_loss_counts_answers_only():
    model, train = spoken.language_model(), spoken.clips("train", 4)
    bridge = spoken.BRIDGE.build(8, model, seed=0)
    x = jnp.asarray(train.features.take(np.arange(4))[:, 0])
    pairs = [training_pairs.Pair(row, ASK, "a red star") for row in range(4)]
    tokens = training_pairs.Tokens.of(pairs, model, 24)
    present = jnp.asarray(tokens.present)
    of = jax.jit(lambda ids, answer: bridge_fit.loss(bridge, model.decoder, x, ids, present, answer))
    whole = of(tokens.ids, tokens.answer)
    first = np.cumsum(tokens.answer, 1) == 1
    parts = [float(of(tokens.ids, tokens.answer & part)) for part in (first, ~first)]
    shares = [int((tokens.answer & part).sum()) for part in (first, ~first)]
    assert float(whole) == pytest.approx(np.average(parts, weights=shares), rel=1e-5)
    assert not tokens.answer[:, : len(training_pairs.prompt_ids(ASK, model))].any()
    assert tokens.ids[0, tokens.answer[0]][-1] == model.special.end


@pytest.mark.long
def test_ranking_a_closed_vocabulary_finds_the_right_caption():
    test = spoken.clips("test", 40)
    answers = [f"a {colour} {shape}" for colour in spoken.COLOURS for shape in spoken.SHAPES]
    asked = [(row, ASK) for row in range(40)]
    scores = fitted().rank(test.features, asked, answers, 20, at_once=4)
    assert scores.shape == (40, 6)
    right = [
        answers[row.argmax()] == item.texts[0] for row, item in zip(scores, test.found.items, strict=True)
    ]
    assert np.mean(right) > 0.85
    assert (np.exp(scores).sum(1) <= 1 + 1e-4).all()


def test_prompts_are_padded_in_front():
    model = spoken.language_model()
    ids, present = training_pairs.prompts(["a", "a red star"], model)
    assert present.tolist()[1] == [True] * ids.shape[1]
    assert present[0].tolist() == [False] * (ids.shape[1] - 1) + [True]
    assert ids[0, -1] == ids[1, 0]


@pytest.mark.parametrize(
    ("pair", "longest", "message"),
    [
        (training_pairs.Pair(0, "caption:", "  "), 24, "at least one word, found an empty one"),
        (training_pairs.Pair(0, "a red star " * 9, "ring"), 12, "leaves none of 12 for its answer"),
    ],
)
def test_pairs_without_room_or_words_are_refused(pair, longest, message):
    with pytest.raises(errors.UserError, match=message):
        training_pairs.Tokens.of([pair], spoken.language_model(), longest)


def test_a_long_answer_is_cut_and_counted():
    pair = training_pairs.Pair(0, "caption:", "a red star " * 9)
    tokens = training_pairs.Tokens.of([pair, pair], spoken.language_model(), 12)
    assert tokens.cut == 2
    assert tokens.ids.shape == (2, 12)


def test_settings_that_do_not_fit_are_refused():
    model = spoken.language_model()
    with pytest.raises(errors.UserError, match="3 attention heads do not divide the width 8"):
        dataclasses.replace(spoken.BRIDGE, heads=3).build(8, model, seed=0)
    with pytest.raises(errors.UserError, match=r"latents \+ longest of at most 2048, .* got 4000 \+ 24"):
        dataclasses.replace(spoken.BRIDGE, latents=4000).build(8, model, seed=0)
    vectors = feature_set.InMemory(np.zeros((4, 1, 8), np.float32))
    with pytest.raises(errors.UserError, match="expected features of tokens x width, found"):
        bridge_fit.fit(spoken.BRIDGE, model, vectors, None, seed=0)
