"""A stage of an earlier version is found by its configuration, whatever fields its classes have gained."""

import copy
import functools

from hypothesis import given
from hypothesis import strategies as st

from prismlab.core.towers import presets, video_encoder
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import stage_configuration

ENCODER = functools.partial(
    video_encoder.FactorizedVideoEncoder, size=presets.nano(), frames=8, resolution=32, patch=8
)
NOW = describe.describe({"video": ENCODER, "names": ["a", 1.5]})
ADDED = ("spatial_activation", "clip", "atten_logit_cap", "position_std")


@given(st.sets(st.sampled_from(ADDED)))
def test_fields_added_since_have_their_default(names):
    then = copy.deepcopy(NOW)
    for name in names:
        del then["video"][name]
    assert stage_configuration.as_recorded(NOW, then)


@given(st.sampled_from(ADDED))
def test_an_added_field_with_another_value_is_another_configuration(name):
    now, then = copy.deepcopy(NOW), copy.deepcopy(NOW)
    now["video"][name] = 17
    del then["video"][name]
    assert not stage_configuration.as_recorded(now, then)


def test_anything_else_differs():
    for change in (
        lambda then: then["video"].update(gone=1),
        lambda then: then["video"].update(frames=4),
        lambda then: then["video"].pop("frames"),  # no default
        lambda then: then["names"].append(2),
        lambda then: then.pop("names"),
        lambda then: then.update(video=None),
    ):
        then = copy.deepcopy(NOW)
        change(then)
        assert not stage_configuration.as_recorded(NOW, then)
