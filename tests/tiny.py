"""Small towers, objectives and batches for tests: 32 tokens a clip, one layer of each kind."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import quick_towers
from jaxtyping import Array

from prismlab.core import keys, types
from prismlab.core.nn import transformer_stack
from prismlab.core.towers import presets, text, video, video_encoder
from prismlab.core.train import learner, masking, metrics, objective
from prismlab.core.train.steps import step
from prismlab.objectives import contrastive, global_distillation, masked

SIZE = presets.Size(dim=8, heads=2, mlp_dim=16, spatial_layers=1, temporal_layers=1, text_layers=1)
FRAMES, SIDE, PATCH, WORDS, VOCABULARY = 2, 8, 2, 5, 11
PATCHES = (SIDE // PATCH) ** 2
TOKENS = FRAMES * PATCHES

encoder = functools.partial(
    video_encoder.FactorizedVideoEncoder,
    size=SIZE,
    frames=FRAMES,
    resolution=SIDE,
    patch=PATCH,
    remat="none",
    scan=False,
)
video_tower = functools.partial(video.VideoTower, encoder)
text_tower = functools.partial(text.TextTower, SIZE, VOCABULARY, remat="none", scan=False)
# Towers of the same sizes that compile at once, where a test is of what is around them.
QUICK = {
    "video": functools.partial(quick_towers.Patches, SIZE.dim, FRAMES, SIDE, PATCH),
    "text": functools.partial(quick_towers.Words, SIZE.dim, VOCABULARY),
}
MASK = masking.BlockTube(0.35)
SMALL = {"decoder": functools.partial(transformer_stack.Stack, 1, 8, 2, 16, scan=False, remat="none")}
STAGE1 = {"contrastive": functools.partial(contrastive.Contrastive, drop=masking.Tube(0.5))}
STAGE2 = {
    "local": functools.partial(masked.MaskedModeling, mask=MASK, **SMALL),
    "global": functools.partial(global_distillation.GlobalDistillation, mask=MASK, pooler_heads=2, **SMALL),
}


def shared(make: Callable) -> Callable:
    """Cache the models that a function makes for all tests; a first call inside a trace caches no tracers."""

    @functools.cache
    def made(*arguments: Any) -> Any:
        with jax.ensure_compile_time_eval():
            return make(*arguments)

    return functools.wraps(make)(made)


@shared
def teacher(seed: int = 7) -> dict[str, eqx.Module]:
    """Return frozen towers of the same size."""
    return {"video": video_tower(key=jax.random.key(seed))}


@shared
def stage1(seed: int = 0) -> learner.Learner:
    """Return the learner of the contrastive stage."""
    towers = {"video": video_tower, "text": text_tower}
    return learner.build(towers, STAGE1, None, key=jax.random.key(seed))


@shared
def stage2(seed: int = 0) -> learner.Learner:
    """Return the learner of the masked stage; its teacher is teacher()."""
    return learner.build({"video": video_tower}, STAGE2, teacher(), key=jax.random.key(seed))


def host_batch(seed: int = 0, size: int = 4) -> dict[str, np.ndarray]:
    """Return what a loader would yield."""
    random = np.random.default_rng(seed)
    ids = random.integers(1, VOCABULARY, (size, WORDS)).astype(np.int32)
    paddings = (np.arange(WORDS)[None] >= random.integers(2, WORDS + 1, size)[:, None]).astype(np.float32)
    return {
        "video": random.integers(0, 256, (size, FRAMES, SIDE, SIDE, 3)).astype(np.uint8),
        "text_ids": np.where(paddings > 0, 0, ids).astype(np.int32),
        "text_paddings": paddings,
        "weight": np.ones(size, np.float32),
    }


def batch(seed: int = 0, size: int = 4) -> types.Batch:
    """Return a batch on the device."""
    return step.to_device_units(step.HostBatch(**jax.tree.map(jnp.asarray, host_batch(seed, size))))


class Line(eqx.Module):
    """A tower that compiles at once: the mean colour of a clip times a matrix."""

    inputs: ClassVar[tuple[str, ...]] = ("video",)
    kernel: Array

    def __init__(self, *, key: Any):
        self.kernel = jax.random.normal(key, (3, 4))

    def __call__(self, video: Array) -> types.Encoded:
        return types.Encoded(tokens=None, pooled=jnp.mean(video, axis=(1, 2, 3)) @ self.kernel)


class Bowl(objective.AbstractObjective):
    """An objective that compiles at once: the noisy squared length of the pooled vector."""

    weight: float
    bound: float
    shift: Array

    def __init__(self, weight: float = 1.0, bound: float = float("inf")):
        self.weight, self.bound, self.shift = weight, bound, jnp.ones(4)

    def projected(self) -> "Bowl":
        """Return the objective with a point inside the bound."""
        return eqx.tree_at(lambda own: own.shift, self, jnp.clip(self.shift, -self.bound, self.bound))

    def views(self) -> frozenset[objective.View]:
        """Return the clip."""
        return frozenset({objective.View("video")})

    def __call__(self, seen: Any, batch: types.Batch, *, key: Any) -> tuple[metrics.Mean, dict]:
        """Return the squared distance from a point that moves with the key."""
        pooled = seen[objective.View("video")].pooled
        noise = 0.1 * jax.random.normal(key, pooled.shape)
        error = jnp.sum((pooled - self.shift + noise) ** 2, axis=-1)
        return metrics.Mean.of(error, batch.weight), {}


def line_learner(seed: int = 0) -> learner.Learner:
    """Return a learner that compiles at once."""
    return learner.Learner({"video": Line(key=keys.seeded(seed, "video"))}, {"bowl": Bowl()})
