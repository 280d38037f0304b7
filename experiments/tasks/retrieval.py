"""Zero-shot video-text retrieval: recall at 1, text to video and video to text.

Source: VideoPrism 3.2, appendix F (cosine similarity of pooled embeddings, single view, recall at 1).
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from prismlab.core.nn import losses
from prismlab.core.train import learner
from prismlab.data.loader import loader, source, tokenizer
from prismlab.experiments.tasks import task


def recall_at_1(similarity: Float[np.ndarray, "q c"]) -> float:
    """Return the fraction of queries whose correct candidate scores highest; ties count as misses.

    Args:
        similarity: [q, q]; the correct candidate of query i is i.
    """
    own = np.diagonal(similarity)
    others = similarity - np.diag(np.full(len(own), np.inf))
    return float(np.mean(own > others.max(axis=1)))


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Recall at 1, text to video and video to text, on clips with distinct captions.

    Args:
        source: clips with clean captions, not used in training.
        tokenizer: tokenizer of the training stages.
        clips: size of the pool; the first clips with distinct captions are used.
        frames: t, frames spread evenly over the clip.
        resolution: side of a frame in pixels.
        batch_size: clips per batch when encoding.
    """

    source: source.Source
    tokenizer: tokenizer.Tokenizer
    clips: int = 200
    frames: int = 8
    resolution: int = 288
    batch_size: int = 64

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return text_to_video_R@1 and video_to_text_R@1, or {} without a text tower.

        Args:
            towers: frozen encoders by name.
            seed: unused; retrieval is deterministic.
            cache: directory shared by runs.
        """
        del seed
        if "text" not in towers:
            return {}
        videos, records = loader.read_all(self.source, cache, frames=self.frames, resolution=self.resolution)
        first: dict[str, int] = {}
        for index, record in enumerate(records):
            first.setdefault(tokenizer.canonicalise(record.caption), index)
        pool = list(first.values())[: self.clips]
        encode = self.tokenizer.prepare(cache)
        ids, paddings = map(np.stack, zip(*(encode(records[index].caption) for index in pool)))
        text: Any = towers["text"]
        captions = np.asarray(
            jax.jit(lambda i, p: text(i, p).pooled)(jnp.asarray(ids), jnp.asarray(paddings))
        )
        clips = task.encode_all(
            towers["video"], videos[pool], self.batch_size, lambda encoded: encoded.pooled
        )
        similarity = np.asarray(
            losses.normalise(jnp.asarray(captions)) @ losses.normalise(jnp.asarray(clips)).T
        )
        protocol = {
            "pooling": "contrastive attention pooler", "frames": self.frames, "views": 1, "pool": len(pool),
            "train clips per class": 0, "chance": round(1 / len(pool), 4),
        }  # fmt: skip
        return {
            "text_to_video_R@1": task.Score(recall_at_1(similarity), len(pool), protocol),
            "video_to_text_R@1": task.Score(recall_at_1(similarity.T), len(pool), protocol),
        }
