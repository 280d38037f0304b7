"""Parents of initial weights by path: which parameter comes from where, and what is refused."""

import dataclasses

import cli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import changes, recipe
from prismlab.experiments.recipe.addresses import initial_weights, stages
from prismlab.experiments.recipe.checks import check

BASE = strict.load(cli.TINY).root
LIT = {"towers/video/encoder": "stage2", "towers/video/pooler": "stage1", "towers/text": "stage1"}
PATHS = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)


def with_lit(init_from, **fields) -> recipe.Experiment:
    """Return the tiny recipe with a third stage: text and pooler train on the frozen encoder."""
    frozen = ("towers/video/encoder",)
    lit = dataclasses.replace(BASE.stages[0], name="lit", init_from=init_from, frozen=frozen, **fields)
    return dataclasses.replace(BASE, stages=(*BASE.stages, lit))


@settings(max_examples=100, deadline=None)
@given(st.sets(PATHS, min_size=1, max_size=6), st.dictionaries(PATHS, st.integers(0, 2), max_size=4))
def test_every_parameter_comes_from_its_longest_path(names, entries):
    parts = {path: {name: (parent, name) for name in names} for path, parent in entries.items()}
    found = initial_weights.merged(parts)
    for name in names:
        above = [path for path in entries if (name + "/").startswith(path + "/")]
        assert (name in found) == bool(above)
        if above:
            assert found[name] == (entries[max(above, key=len)], name)


def test_the_parents_are_the_stages_and_the_address():
    first, second, lit = stages.plan(with_lit(LIT), 0)
    assert [each.stage.name for each in lit.parents] == ["stage2", "stage1"]
    assert lit.inputs["parents"] == {
        "init_from['towers/text']": first.address,
        "init_from['towers/video/encoder']": second.address,
        "init_from['towers/video/pooler']": first.address,
        "teacher": None,
    }
    other = stages.plan(with_lit({**LIT, "towers/text": "stage2"}), 0)
    assert [each.address for each in other[:2]] == [first.address, second.address]
    assert other[2].address != lit.address


def test_the_order_of_a_map_does_not_change_the_address():
    turned = dict(reversed(LIT.items()))
    assert stages.plan(with_lit(turned), 0)[2].address == stages.plan(with_lit(LIT), 0)[2].address


def test_a_row_may_change_one_path():
    changed = changes.row(with_lit(LIT), "row", {"lit.init_from.towers/text": "stage2"})
    assert changed.stages[2].init_from == {**LIT, "towers/text": "stage2"}


def test_the_parents_are_named_in_few_words():
    assert initial_weights.text(LIT) == "stage2 (encoder), stage1 (pooler, text)"
    assert [initial_weights.text(each) for each in ("stage1", None)] == ["stage1", "-"]


@pytest.mark.parametrize(
    ("init_from", "told"),
    [
        (
            {**LIT, "towers/text": "stage7"},
            r"init_from\['towers/text'\]='stage7' is neither an earlier stage",
        ),
        (
            {**LIT, "towers/text": "stage2"},
            r"init_from\['towers/text'\]: stage2 has no towers/text/\S+ and \d",
        ),
        ({**LIT, "towers/txt": "stage1"}, r"init_from\['towers/txt'\]: this stage has no parameter under"),
        (
            {**LIT, "towers/video/pool": "stage1"},
            "paths begin with objectives/contrastive/log_scale, towers/",
        ),
    ],
)
def test_a_wrong_map_is_refused_in_one_line(init_from, told):
    with pytest.raises(errors.UserError, match=told) as caught:
        check.abstract_stages(with_lit(init_from))
    assert len(str(caught.value).splitlines()) == 1


def test_a_parent_of_another_shape_is_refused():
    narrow = {"towers/text": "stage1", "towers/video/encoder": "stage2"}
    text = BASE.stages[0].towers["text"]
    towers = {**BASE.stages[0].towers, "text": type(text)(text.func, **{**text.keywords, "vocabulary": 96})}
    with pytest.raises(
        errors.UserError, match=r"other shapes: towers/text/token_table \(64, 8\) -> \(96, 8\)"
    ):
        check.abstract_stages(with_lit(narrow, towers=towers))


@pytest.mark.parametrize("init_from", [{}, {"towers/text": None}, {"towers/text": 3}])
def test_a_map_without_parents_is_refused(init_from):
    with pytest.raises(errors.UserError, match="init_from"):
        with_lit(init_from)


def test_a_whole_learner_may_be_named_with_a_part_of_another(tmp_path):
    check.abstract_stages(with_lit({"towers": "stage1", "towers/video/encoder": "stage2"}))
