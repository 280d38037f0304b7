"""`prismlab convert`: a model's weights in another layout."""

import argparse

from experiments.commands import paths

NAME = "convert"
HELP = "write weights in another layout: .npz (release), .safetensors (Hugging Face), .bundle (ours)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name source, destination and, where the source does not tell, the model."""
    parser.add_argument("source", type=paths.place, metavar="SRC", help="a file, or a stage's folder")
    parser.add_argument("destination", type=paths.local, metavar="DST", help=".npz, .safetensors or .bundle")
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a name of `prismlab models`, or a .json file with the release's field names; "
        "not needed where the source fits one preset or holds its configuration",
    )


def run(options: argparse.Namespace) -> int:
    """Load, save and say what was written."""
    from core import names, release_model, released
    from experiments import console, weights

    config = weights.configuration(options.source, options.model)
    model = released.load(config, options.source)
    released.save(model, options.destination)
    out = console.make_console()
    count = names.count(model)
    console.say(out, f"written: {options.destination} ({config['kind']}, {count:,} parameters)")
    sines = release_model.describe(model).get("text_sines", "release")
    if sines != "release" and options.destination.suffix == ".npz":
        console.say(
            out,
            "note: the source holds the text positions of transformers; the release's layout stores none, so "
            "text embeddings from this file follow the release's positions",
        )
    return 0
