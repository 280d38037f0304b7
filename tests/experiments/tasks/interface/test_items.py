"""Label sets of items: one label of each, in the order of the sets."""

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items

SETS = (("verb", 2), ("noun", 3))


def item_set(labels, classes="abcde", sets=SETS):
    return items.ItemSet("t", (items.Item("k", labels=labels),), tuple(classes), load=None, label_sets=sets)


def test_labels_are_counted_within_their_set():
    assert item_set((1, 4)).set_targets().tolist() == [[1, 2]]
    assert item_set((1, 4)).set_bounds() == [("verb", 0, 2), ("noun", 2, 5)]
    assert item_set((3,), sets=()).set_targets().tolist() == [[3]]


@pytest.mark.parametrize("labels", [(1,), (2, 4), (0, 1), (0, 2, 3)])
def test_an_item_without_one_label_of_each_set_is_refused(labels):
    with pytest.raises(errors.UserError, match=r"expected one of each set \['verb', 'noun'\]"):
        item_set(labels)


def test_sets_that_do_not_cover_the_classes_are_refused():
    with pytest.raises(errors.UserError, match="need single labels and 5 classes, got 4 classes"):
        item_set((0, 2), classes="abcd")


def test_absent_classes_and_a_single_one_are_named():
    assert item_set((1, 4)).class_notes() == {"classes that never occur": "3: a, c, d"}
    (told,) = item_set((3,), sets=()).class_notes().values()
    assert told == "4: a, b, c, e; only one class occurs: a score says nothing"
    assert item_set((0,), classes="a", sets=()).class_notes() == {}
