"""Key of stored features: everything but the clips that decides their values, in readable form."""

import re
import weakref
from collections.abc import Mapping
from typing import Any

import jax

from prismlab.core import code_fingerprint, trees
from prismlab.data.video import frames
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import fingerprints
from prismlab.experiments.tasks.features import encoder_pass

# Calls the encoder on the views of a clip; the code of the towers is found through their parts.
ENCODING = ("prismlab.experiments.tasks.features.encoder_pass", "prismlab.experiments.tasks.features.views")
# Words a configuration; what it says is in the key.
WITHOUT = (*fingerprints.WATCHING, "prismlab.experiments.recipe.describe")
# id of a tower -> the tower and the digest of its weights, while the tower is in use.
_digests: dict[int, tuple["weakref.ref[Any]", str]] = {}
_WORDS = {
    "weights": "other encoder weights",
    "structure": "another structure of the encoder",
    "device": "another kind of device",
}


def of(encoder: encoder_pass.EncoderPass, dtype: str) -> dict[str, Any]:
    """Return the key of the features of an encoder pass, as plain data.

    Args:
        encoder: the encoder pass, with its protocol.
        dtype: number type in which features are kept.
    """
    tower = encoder.tower
    parts = [each for _, each in fingerprints.walk(tower)]
    modules = {name for each in parts if isinstance(name := getattr(each, "__module__", None), str)}
    # Addresses of functions in memory differ between processes.
    structure = re.sub(r" at 0x[0-9a-f]+", "", str(jax.tree_util.tree_structure(tower)))
    return {
        "weights": weights_digest(tower),
        "structure": describe.address(structure),
        "code": code_fingerprint.closure(sorted({*modules, *ENCODING}), WITHOUT),
        "protocol": describe.describe(encoder.how),
        "dtype": dtype,
        "decoder": frames.decoder_versions(),
        "settings": fingerprints.settings(),
        "device": jax.devices()[0].device_kind,
    }


def weights_digest(tower: Any) -> str:
    """Return the sha256 of the weights of a frozen tower, computed once for each tower object.

    All splits and tasks of an evaluation read one tower, whose weights may take seconds to hash.

    Args:
        tower: an `eqx.Module`; its arrays do not change, as those of any module.
    """
    known = _digests.get(id(tower))
    if known is None or known[0]() is not tower:
        place = id(tower)
        reference = weakref.ref(tower, lambda gone: _digests.pop(place, None))
        known = reference, trees.digest(trees.flatten(tower))
        _digests[place] = known
    return known[1]


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between two keys, one phrase a field, such as "protocol.frames: 8 -> 16"."""
    found = []
    for name in dict.fromkeys([*old, *new]):
        before, now = old.get(name), new.get(name)
        if before == now:
            continue
        if name == "code" and isinstance(before, Mapping) and isinstance(now, Mapping):
            changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
            found += [f"{key} changed" for key in changed]
        elif name in _WORDS:
            found.append(_WORDS[name])
        else:
            found += [f"{name}.{line}" if isinstance(now, Mapping) else f"{name}: {before} -> {now}"
                      for line in describe.difference(before, now)]  # fmt: skip
    return found
