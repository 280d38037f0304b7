"""What every tower must offer: the interfaces of `types`, for each class found in the package `towers`."""

import importlib
import inspect
import pkgutil

import equinox as eqx
import jax
import pytest
import tiny

from prismlab.core import errors, keys, towers, types
from prismlab.core.towers import text, video
from prismlab.core.train import learner, masking, objective

# One example of each tower; a new tower adds one line here.
EXAMPLES = {video.VideoTower: tiny.video_tower, text.TextTower: tiny.text_tower}
FOUND = [
    each
    for module in pkgutil.iter_modules(towers.__path__)
    for _, each in inspect.getmembers(importlib.import_module(f"{towers.__name__}.{module.name}"))
    if inspect.isclass(each)
    and each.__module__ == f"{towers.__name__}.{module.name}"
    and issubclass(each, eqx.Module)
    and each.__name__.endswith("Tower")
]


def test_every_tower_is_found():
    assert set(FOUND) >= {video.VideoTower, text.TextTower}


@pytest.mark.parametrize("kind", FOUND, ids=lambda kind: kind.__name__)
def test_every_tower_keeps_the_contract(kind):
    assert kind in EXAMPLES, f"give EXAMPLES of this file a {kind.__name__}"
    tower = EXAMPLES[kind](key=keys.seeded(0))
    batch = tiny.batch()
    assert isinstance(tower, types.Tower)
    assert isinstance(tower, types.ClipTower if "video" in tower.inputs else types.CaptionTower)
    encoded = eqx.filter_jit(tower)(*(getattr(batch, field) for field in tower.inputs))
    assert encoded.pooled.shape == (4, tower.dim)
    if isinstance(tower, types.ClipTower):
        assert batch.video.shape[1:3] == (tower.frames, tower.resolution)
        assert encoded.tokens.x.shape == (4, tower.frames * tower.patches, tower.dim)
        assert tower.patches * tower.patch**2 == tower.resolution**2
    # Shapes alone fulfil the same interface: recipes are checked without a device.
    abstract = eqx.filter_eval_shape(lambda key: EXAMPLES[kind](key=key), jax.random.key(0))
    assert isinstance(abstract, types.ClipTower if "video" in tower.inputs else types.CaptionTower)


def test_a_tower_without_a_token_grid_is_refused_with_what_it_lacks():
    make = {"video": lambda key: tiny.Line(key=key)}
    with pytest.raises(errors.UserError, match="'video' is a Line without dim, frames, patches, patch"):
        learner.build(make, {}, None, key=keys.seeded(0))
    view = objective.View("video", mask=masking.Tube(0.5))
    with pytest.raises(errors.UserError, match=r"masks the tower 'video' \(Line\), which has no token grid"):
        tiny.line_learner().encode(view, tiny.batch(), None, key=keys.seeded(0))
