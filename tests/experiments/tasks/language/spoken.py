"""Clips whose features are their captions, and a small language model of these, for tests of bridges."""

import dataclasses
import functools
import io
import pathlib

import golden_models
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from prismlab.core import trees
from prismlab.core.train import optim
from prismlab.data.records import record
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.interface import items, texts
from prismlab.experiments.tasks.language import bridge_fit, small_model, training_pairs

COLOURS, SHAPES = ("red", "green", "dark blue"), ("star", "ring")
BRIDGE = bridge_fit.Bridge(
    latents=4, heads=2, mlp=False, steps=150, batch_size=32, longest=24,
    optimizer=optim.AdamW(optim.Schedule(3e-2, 5), weight_decay=0.0, clip_norm=None),
)  # fmt: skip


def picture(item):
    """Return the clip of an item: one grey picture."""
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(file, "PNG")
    return record.of_frames(item.key, [file.getvalue()] * 2, "a clip")


def clips(name, count, *, shuffle=False):
    """Return clips with a caption and two questions each, whose features say colour and shape."""
    rng = np.random.default_rng(len(name) + count)
    truth = np.stack([rng.integers(3, size=count), rng.integers(2, size=count)], 1)
    features = np.zeros((count, 1, 3, 8), np.float32)
    features[np.arange(count), 0, 0, truth[:, 0]] = 3
    features[np.arange(count), 0, 2, 3 + truth[:, 1]] = 3
    features += 0.2 * rng.standard_normal(features.shape).astype(np.float32)
    said = rng.permutation(truth) if shuffle else truth
    found = []
    for number, (colour, shape) in enumerate(said):
        asked = (
            texts.Question("0", "which colour is it", (COLOURS[colour],), "colour"),
            texts.Question("1", "which shape is it?", (SHAPES[shape],), "shape"),
        )
        caption = f"a {COLOURS[colour]} {SHAPES[shape]}"
        extra = {texts.QUESTIONS: asked}
        found.append(items.Item(f"{name}{number}", texts=(caption,), extra=extra))
    item_set = items.ItemSet(name, tuple(found), (), picture)
    return feature_set.Encoded(item_set, feature_set.InMemory(features), {})


@dataclasses.dataclass(frozen=True)
class Clips:
    """A reader of such clips.

    Args:
        count: clips of each split.
        shuffle: captions and answers of other clips.
    """

    count: int = 60
    shuffle: bool = False

    def read(self, split, cache):
        """Return the items alone."""
        return clips(split, self.count, shuffle=self.shuffle).found


SMALL = small_model.SmallModel(
    Clips(), (training_pairs.Captions(), training_pairs.Questions()), layers=2, width=32, heads=2,
    mlp_width=64, vocabulary=400, steps=120, batch_size=32, rate=1e-2,
)  # fmt: skip
TRAINED = golden_models.GOLDEN / "small_language_model.npz"


@functools.cache
def language_model():
    """Return a language model of captions and questions, with weights from a file; see `write`."""
    with jax.ensure_compile_time_eval():
        made, _ = small_model.untrained(SMALL, pathlib.Path())
        with np.load(TRAINED) as file:
            arrays = {name: jnp.asarray(file[name], jnp.float32) for name in file.files}
        return dataclasses.replace(made, decoder=trees.replace(made.decoder, arrays))


@dataclasses.dataclass(frozen=True)
class Language:
    """The source of that model, which makes it when it is asked."""

    def load(self, cache):
        """Return the model."""
        del cache
        return language_model()


def write():
    """Train the language model and write its weights: `python tests/experiments/tasks/language/spoken.py`."""
    arrays = trees.flatten(SMALL.load(pathlib.Path()).decoder)
    np.savez_compressed(TRAINED, **{name: np.asarray(array, np.float16) for name, array in arrays.items()})


@dataclasses.dataclass(frozen=True)
class Features:
    """Stands in for `keeping.Keeping`: features that say what the clips show.

    Args:
        shuffle: see `Clips`.
    """

    shuffle: bool = False

    def encode(self, found, encoder, cache):
        """Return the features of the items."""
        return clips(found.name, len(found), shuffle=self.shuffle)


TOWERS = {"video": lambda clips: clips}


if __name__ == "__main__":
    write()
