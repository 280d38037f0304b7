"""A small language model learns from the texts of clips, and the same again."""

import dataclasses

import pytest
import spoken

from prismlab.core import trees
from prismlab.experiments.tasks.language import small_model


@pytest.mark.slow
def test_it_is_trained_and_the_same_again(tmp_path):
    made = dataclasses.replace(spoken.SMALL, layers=1, width=8, mlp_width=8, steps=2, batch_size=4)
    before, _ = small_model.untrained(made, tmp_path)
    # In another folder it is trained again.
    trained, again = (trees.flatten(made.load(tmp_path / name).decoder) for name in ("a", "b"))
    assert trees.digest(trained) == trees.digest(again) != trees.digest(trees.flatten(before.decoder))
