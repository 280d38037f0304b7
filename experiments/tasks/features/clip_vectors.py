"""Unit vectors of clips from the pooler of a frozen video tower, for comparison with texts."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32

from prismlab.core import errors
from prismlab.experiments.tasks.features import encoder_pass, keeping
from prismlab.experiments.tasks.interface import items, protocols


@dataclasses.dataclass(frozen=True)
class ClipVectors:
    """Vectors of the readable clips of a split.

    Args:
        found: items with vectors, in the order of the rows.
        vectors: float32 [n, d], the mean over views of vectors of unit length; a dot product with a text's
            vector is the mean cosine similarity over views.
        missing: key -> reason, of the items without vectors.
    """

    found: items.ItemSet
    vectors: Float32[np.ndarray, "n d"]
    missing: dict[str, str]

    @property
    def named(self) -> list[tuple[str, str]]:
        """Key and group of each item."""
        return [(item.key, item.group) for item in self.found.items]


def default_protocol() -> protocols.Protocol:
    """Return the protocol of zero-shot evaluations: 16 frames, one view, the tower's pooled vector."""
    return protocols.Protocol(pooling="tower")


def check(how: protocols.Protocol) -> None:
    """Check that a protocol reads the pooled vector of the tower, the only one that is comparable with texts.

    Raises:
        UserError: it reads something else.
    """
    if how.pooling != "tower":
        raise errors.UserError(
            f"protocol: texts are compared with the tower's pooled vector, but pooling={how.pooling!r}; set "
            "protocols.Protocol.pooling to 'tower'"
        )


def of(
    found: items.ItemSet,
    towers: Mapping[str, Any],
    how: protocols.Protocol,
    batch_size: int,
    features: keeping.Keeping,
    cache: pathlib.Path,
) -> ClipVectors:
    """Encode the clips of a split.

    Args:
        found: the items.
        towers: frozen encoders by name.
        how: the protocol.
        batch_size: views encoded at once.
        features: how the pooled vectors are kept.
        cache: directory shared by runs.

    Raises:
        UserError: the video tower has no pooler, or no clip could be read.
    """
    encoder = encoder_pass.EncoderPass(towers["video"], how, batch_size)
    encoded = features.encode(found, encoder, cache)
    read = encoded.features.take(np.arange(len(encoded.found)))
    unit = read / np.sqrt(np.square(read).sum(-1, keepdims=True) + 1e-12)
    return ClipVectors(encoded.found, unit.mean(axis=1), encoded.missing)


def facts(how: protocols.Protocol, clips: ClipVectors) -> dict[str, Any]:
    """Return what belongs beside every zero-shot score."""
    found: dict[str, Any] = {
        "protocol": how.summary(),
        "pooling": "tower",
        "frames": how.frames,
        "views": how.views,
        "train clips per class": 0,
        "missing": len(clips.missing),
        **clips.found.notes,
        **clips.found.class_notes(),
    }
    if clips.missing:
        found["missing clips"] = dict(list(clips.missing.items())[:20])
    return found
