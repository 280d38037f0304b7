"""Captions of a rendered clip: a clean grammar, and a noisy one in the manner of recognised speech.

Both are pure functions of the truth and of a random generator.
"""

import numpy as np

from prismlab.data.world import truth as truth_module

MOTION_PHRASES = {
    "right": "moving right",
    "left": "moving left",
    "down": "moving down",
    "up": "moving up",
    "clockwise": "turning clockwise",
    "counterclockwise": "turning counterclockwise",
    "growing": "growing",
    "shrinking": "shrinking",
}
BACKGROUND_PHRASES = {
    "plain": "a plain background",
    "vertical stripes": "vertical stripes",
    "horizontal stripes": "horizontal stripes",
    "checks": "checks",
}
FORMS = (
    "a {colour} {species}{motion} on {background}",
    "the {species} is {colour}{motion}, in front of {background}",
    "on {background} there is a {colour} {species}{motion}",
    "this clip shows a {colour} {species}{motion} over {background}",
)
FILLERS = ("um", "so", "okay", "you know", "and then", "like", "right here", "look at this")


def clean(
    truth: truth_module.Truth, rng: np.random.Generator, *, motion_captions: float, forms: int = 1
) -> str:
    """Describe a clip truthfully in one line.

    Args:
        truth: what the clip shows.
        rng: consumed twice, whatever the other arguments are.
        motion_captions: share of the captions that name the motion (each segment's), in [0, 1].
        forms: how many sentence forms to choose from, 1 to len(FORMS); with 1, equal appearance gives
            equal words.

    Returns:
        A caption such as "a red star moving left on vertical stripes".
    """
    named, form = rng.random() < motion_captions, int(rng.random() * forms)
    motion = " then ".join(MOTION_PHRASES[name] for _, _, name in truth.segments)
    return FORMS[form].format(
        colour=truth.colour,
        species=truth.species,
        background=BACKGROUND_PHRASES[truth.background],
        motion=f" {motion}" if named else "",
    )


def asr_like(
    truth: truth_module.Truth,
    neighbour: truth_module.Truth,
    rng: np.random.Generator,
    *,
    motion_captions: float,
    shifted: float = 0.15,
    wrong: float = 0.1,
    dropped: float = 0.1,
    filler: float = 0.25,
) -> str:
    """Describe a clip as automatic speech recognition would: loosely, in lower case, partly wrong.

    Args:
        truth: what the clip shows.
        neighbour: the clip that comes next; speech and picture are often out of step.
        rng: the caption's randomness.
        motion_captions: share of the captions that name the motion, in [0, 1].
        shifted: probability that the neighbour is described instead, in [0, 1].
        wrong: probability, for each of colour and species, that the word is drawn at random from its
            list (so it may still be right), in [0, 1].
        dropped: probability for each word to be lost, in [0, 1].
        filler: probability of a filler before each kept word, in [0, 1].

    Returns:
        Lower-case words without punctuation, never empty.

    Source: VideoPrism Table 1 and appendix A list corpora captioned by speech recognition (ASR); these
        probabilities are ours.
    """
    told = neighbour if rng.random() < shifted else truth
    words = (
        clean(told, rng, motion_captions=motion_captions, forms=len(FORMS)).lower().replace(",", "").split()
    )
    for vocabulary in (truth_module.COLOURS, truth_module.SPECIES):
        if rng.random() < wrong:
            replacement = vocabulary[int(rng.integers(len(vocabulary)))]
            words = [replacement if word in vocabulary else word for word in words]
    kept = [word for word in words if rng.random() >= dropped] or words[:1]
    heard = []
    for word in kept:
        if rng.random() < filler:
            heard.append(FILLERS[int(rng.integers(len(FILLERS)))])
        heard.append(word)
    return " ".join(heard)
