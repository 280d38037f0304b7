"""Generate captions for synthetic clips: clean template captions and noisy, ASR-like captions.

Both are pure functions of the ground truth and a random generator.
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
    """Generate a correct one-line caption of a clip from a template.

    Args:
        truth: ground truth of the clip.
        rng: random generator; always drawn from exactly twice.
        motion_captions: fraction of captions that name the motion (of every segment), in [0, 1].
        forms: number of sentence templates to choose from, 1 to len(FORMS); with 1, equal appearance
            gives equal captions.

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
    """Generate a noisy caption in the style of automatic speech recognition (ASR): lower case, partly wrong.

    Args:
        truth: ground truth of the clip.
        neighbour: ground truth of the next clip; models misalignment between speech and video.
        rng: random generator of the caption.
        motion_captions: fraction of captions that name the motion, in [0, 1].
        shifted: probability of describing the neighbour instead, in [0, 1].
        wrong: probability, for colour and species each, of replacing the word with a random one from its
            vocabulary (which may be the correct one), in [0, 1].
        dropped: probability of dropping each word, in [0, 1].
        filler: probability of inserting a filler word before each kept word, in [0, 1].

    Returns:
        Lower-case words without punctuation, never empty.

    Source: VideoPrism Table 1 and appendix A list corpora with ASR captions; the probabilities
        here are our own choice.
    """
    described = neighbour if rng.random() < shifted else truth
    words = (
        clean(described, rng, motion_captions=motion_captions, forms=len(FORMS))
        .lower()
        .replace(",", "")
        .split()
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
