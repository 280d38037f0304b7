"""Questions about rendered clips, of several types; the answers of each type are equally frequent.

A guess without the clip is right with one over the number of answers of a type.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prismlab.data.world import captions
from prismlab.data.world import truth as truth_module

# Type -> (question, answers).
ASKED: dict[str, tuple[str, Sequence[str]]] = {
    "shape": ("what is the shape", truth_module.SPECIES),
    "colour": ("what colour is the shape", truth_module.COLOURS),
    "background": ("what is the background", truth_module.BACKGROUNDS),
    "motion": ("what is the shape doing", tuple(captions.MOTION_PHRASES.values())),
    "yes or no": ("is the shape {}", ("yes", "no")),
}


def balanced(labels: Mapping[str, Any], rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """Return (question, answer, type) of a clip, one of each type.

    Args:
        labels: its species, colour, background and motion.
        rng: decides whether the question about a motion is answered by yes, and which other motion it names.
    """
    doing = captions.MOTION_PHRASES[labels["motion"]]
    others = [phrase for phrase in captions.MOTION_PHRASES.values() if phrase != doing]
    yes, other = bool(rng.integers(2)), others[int(rng.integers(len(others)))]
    answers = {
        "shape": labels["species"],
        "colour": labels["colour"],
        "background": labels["background"],
        "motion": doing,
        "yes or no": "yes" if yes else "no",
    }
    named = doing if yes else other
    return [(ASKED[kind][0].format(named), answer, kind) for kind, answer in answers.items()]
