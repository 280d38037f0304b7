"""`prismlab convert`: a model's weights in another layout."""

import argparse

from prismlab.experiments.commands import path_arguments

NAME = "convert"
HELP = "write weights in another layout: .npz (release), .safetensors (Hugging Face), .bundle (ours)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name source, destination and, where the source does not tell, the model."""
    parser.add_argument(
        "source", type=path_arguments.place, metavar="SRC", help="a file, or a stage's folder"
    )
    parser.add_argument(
        "destination", type=path_arguments.local, metavar="DST", help=".npz, .safetensors or .bundle"
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a name of `prismlab models`, or a .json file with the release's field names; "
        "not needed where the source fits one preset or holds its configuration",
    )


def run(options: argparse.Namespace) -> int:
    """Load, save and say what was written."""
    from prismlab.core import trees
    from prismlab.core.weights import release_models, released
    from prismlab.experiments import console
    from prismlab.experiments.released import weights

    config = weights.configuration(options.source, options.model)
    model = released.load(config, options.source)
    released.save(model, options.destination)
    out = console.make_console()
    count = trees.count(model)
    console.say(out, f"written: {options.destination} ({config['kind']}, {count:,} parameters)")
    sines = release_models.describe(model).get("text_sines", "release")
    if sines != "release" and options.destination.suffix == ".npz":
        console.say(
            out,
            "note: the source holds the text positions of transformers; the release's layout stores none, so "
            "text embeddings from this file follow the release's positions",
        )
    return 0
