"""Write captions.json: words and CIDEr-D of the official evaluation (pycocoevalcap 1.2, needs Java).

    pip download --no-deps pycocoevalcap; unzip it; python tests/golden/make_captions.py FOLDER

FOLDER holds `pycocoevalcap/`. Only its pure Python part and its tokenizer's program are run.
"""

import importlib.util
import json
import pathlib
import random
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
SENTENCES = [
    "A man is playing a guitar.",
    "a dog isn't running; it's sleeping!",
    "Two people can't find the t-shirt (blue) on the bed.",
    'someone cannot open the door, "hello" she said',
    "the u.s. team scores 3.5 points at 10:30 p.m.",
    "a 3d animation of a car...",
    "a woman's hands -- and a knife - cut vegetables",
    "he'll go, they've gone, I'd stay, we're here",
    "chop 1/2 cup of onions & 2 tbsp. of butter",
    "gonna wanna gotta lemme gimme",
    "a man/woman talks about $20 and 50%",
    "rock'n'roll and the boys' toys",
    "[music] plays while {something} happens",
    "Mr. Smith and Dr. Jones vs. the world etc.",
    "a caf\u00e9 with na\u00efve people\u2019s \u201cquotes\u201d",
    "one  two   three",
    "e-mail user@example.com or http://a.b/c",
    "it's 5 o'clock; don't stop",
    "under_score and hash#tag and @user",
    "\"'tis the season\" 'twas",
    "add 1,000 grams. Then stir",
    "A.B. plays no. 5",
    "state-of-the-art well-known x-ray",
    "a 12-year-old boy",
    "don\u2019t",
]


def official(folder: pathlib.Path, part: str):
    """Import a module of pycocoevalcap by its file, since the package imports Java wrappers."""
    path = folder / "pycocoevalcap" / part
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(folder: pathlib.Path) -> list[list[str]]:
    """Return the words of each sentence by the official program, without the punctuation that it drops."""
    module = official(folder, "tokenizer/ptbtokenizer.py")
    jar = folder / "pycocoevalcap" / "tokenizer" / module.STANFORD_CORENLP_3_4_1_JAR
    command = [
        "java",
        "-cp",
        str(jar),
        "edu.stanford.nlp.process.PTBTokenizer",
        "-preserveLines",
        "-lowerCase",
    ]
    done = subprocess.run(command, input="\n".join(SENTENCES), capture_output=True, text=True, check=True)
    lines = done.stdout.rstrip("\n").split("\n")
    return [[word for word in line.rstrip().split(" ") if word not in module.PUNCTUATIONS] for line in lines]


def corpus(seed: int, count: int) -> list[tuple[str, list[str]]]:
    """Return random captions of few words, each with one to three references."""
    rng = random.Random(seed)
    say = lambda: " ".join(rng.choice("abcdefg") for _ in range(rng.randint(1, 9)))
    return [(say(), [say() for _ in range(rng.randint(1, 3))]) for _ in range(count)]


def cider(folder: pathlib.Path, made: list[tuple[str, list[str]]]) -> list[float]:
    """Return the official CIDEr-D of each caption."""
    scorer = official(folder, "cider/cider_scorer.py").CiderScorer()
    for said, references in made:
        scorer += (said, references)
    return scorer.compute_score()[1].tolist()


if __name__ == "__main__":
    home = pathlib.Path(sys.argv[1])
    kept = {
        "words": list(zip(SENTENCES, words(home))),
        "cider": [
            {"seed": seed, "count": count, "scores": cider(home, corpus(seed, count))}
            for seed, count in ((0, 2), (1, 12), (2, 40))
        ],
    }
    (HERE / "captions.json").write_text(json.dumps(kept, ensure_ascii=True) + "\n")
