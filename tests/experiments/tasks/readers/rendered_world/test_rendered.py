"""The rendered world as items: several labels, label sets, and few classes with a background."""

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.loader import source
from prismlab.data.world import truth, world
from prismlab.experiments.tasks.readers.rendered_world import rendered

HOME = source.Rendered(world.World(clips=96, resolution=16, frames=2), workers=0)
UNSEEN = source.Rendered(world.World(clips=96, resolution=16, frames=2, split="test"), workers=0)
FEW = ("right", "left", "down")


def test_several_labels_are_multi_label_or_label_sets(tmp_path):
    names = ("species", "motion")
    many = rendered.RenderedWorld(HOME, UNSEEN, names).read("test", tmp_path)
    assert many.multi_label
    assert many.multi_hot().sum(1).tolist() == [2] * 96
    sets = rendered.RenderedWorld(HOME, UNSEEN, names, label_sets=True).read("test", tmp_path)
    assert not sets.multi_label
    assert sets.label_sets == (("species", 10), ("motion", 8))
    for item, (species, motion) in zip(sets.items, sets.set_targets()):
        assert truth.SPECIES[species] == item.extra["species"]
        assert truth.MOTIONS[motion] == item.extra["motion"]


def test_few_classes_leave_the_rest_as_background(tmp_path):
    found = rendered.RenderedWorld(HOME, UNSEEN, foreground=FEW).read("train", tmp_path)
    assert found.classes == (*FEW, "other")
    assert found.background == 3
    assert len(found) == 96
    for item, target in zip(found.items, found.index_targets()):
        assert found.classes[target] == (item.extra["motion"] if item.extra["motion"] in FEW else "other")


def test_rarer_classes_keep_fewer_clips_and_the_same_ones_in_every_run(tmp_path):
    every = rendered.RenderedWorld(HOME, UNSEEN, foreground=FEW).read("train", tmp_path)
    rare = rendered.RenderedWorld(HOME, UNSEEN, foreground=FEW, rarer=0.25)
    found = rare.read("train", tmp_path)
    counts = [np.bincount(each.index_targets(), minlength=4) for each in (every, found)]
    assert counts[1][[0, 3]].tolist() == counts[0][[0, 3]].tolist()
    assert counts[1][1] < counts[0][1]
    assert counts[1][2] < counts[0][2]
    assert found.notes == {"left out to make classes rarer": len(every) - len(found)}
    assert [item.key for item in rare.read("train", tmp_path).items] == [item.key for item in found.items]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"label_sets": True}, "label_sets needs two labels"),
        ({"rarer": 0.5}, "rarer must be in .* and needs foreground"),
        ({"foreground": FEW, "rarer": 0.0}, "rarer must be in"),
        ({"foreground": ("up", "star")}, "foreground must be among the values of one label"),
        ({"foreground": FEW, "labels": ("motion", "species")}, "foreground must be among"),
    ],
)
def test_labels_that_do_not_fit_are_refused(fields, match):
    with pytest.raises(errors.UserError, match=match):
        rendered.RenderedWorld(HOME, UNSEEN, **fields)
