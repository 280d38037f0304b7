"""Write wordnet.json: similarities of Wu and Palmer of the first synsets of word pairs, by NLTK.

    NLTK_DATA=FOLDER python tests/golden/make_wordnet.py

FOLDER/corpora/wordnet holds the files of Debian's wordnet-base and wordnet-sense-index (WordNet 3.0), and
`lexnames` with the 45 names that lexnames(5WN) lists.
"""

import json
import pathlib
import random

WORDS = (
    "dog cat man woman boy girl baby run walk talk speak play sit stand eat drink cook cut chop onion knife "
    "car road ball hand head look watch smile laugh cry happy sad red blue colour shirt water dance sing "
    "guitar hold carry dogs children running sat went better geese wolves boxes bigger quickly slowly put "
    "take give rest relax toy table chair outside grass lady people person animal move stop then yes no two "
    "three"
)

if __name__ == "__main__":
    from nltk.corpus import wordnet

    rng, kept = random.Random(0), []
    for _ in range(400):
        pair = rng.sample(WORDS.split(), 2)
        first, second = (wordnet.synsets(word) for word in pair)
        kept.append([*pair, first[0].wup_similarity(second[0]) if first and second else None])
    pathlib.Path(__file__).with_name("wordnet.json").write_text(json.dumps(kept) + "\n")
