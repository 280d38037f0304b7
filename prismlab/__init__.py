"""VideoPrism, trainable: both training stages, the frozen evaluation, and ablations swapped by gin.

The names below are the public Python interface. They are imported on first use, so `import prismlab` is fast
and has no side effects.

    import prismlab
    model = prismlab.load("runs/quickstart/stage1")  # a stage of your own, a .bundle, ...
    model = prismlab.load("videoprism_public_v1_base", "weights.npz")  # ... or a released model

Everything else is reached by its module: `from prismlab.core.towers import video`.
"""

import importlib
from typing import Any

# Public name -> the module, or the module and the attribute, that it stands for.
_PUBLIC = {
    "setup": ("prismlab.core.setup", "setup"),
    "load": ("prismlab.experiments.encoders.named_model", "load"),
    "embed_videos": ("prismlab.experiments.released.embedding", "embed_videos"),
    "released": ("prismlab.core.weights.released", None),
    "VideoTower": ("prismlab.core.towers.video", "VideoTower"),
    "TextTower": ("prismlab.core.towers.text", "TextTower"),
    "Tokenizer": ("prismlab.data.loader.tokenizer", "Tokenizer"),
    "build_learner": ("prismlab.core.train.learner", "build"),
    "load_config": ("prismlab.experiments.gin_strict.strict", "load"),
    "read_table": ("prismlab.experiments.statistics.results_table", "read_table"),
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'prismlab' has no attribute {name!r}; it has {', '.join(_PUBLIC)}")
    module, attribute = _PUBLIC[name]
    found = importlib.import_module(module)
    return found if attribute is None else getattr(found, attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
