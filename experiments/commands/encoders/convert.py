"""`prismlab convert`: convert weights to another weight format."""

import argparse

from prismlab.experiments.commands import path_arguments

NAME = "convert"
HELP = "convert weights between .npz (release), .safetensors (Hugging Face) and .bundle (prismlab)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add source, destination and model."""
    parser.add_argument(
        "source",
        type=path_arguments.path,
        metavar="SRC",
        help="weight file, or a stage (WORKDIR/stages/NAME or WORKDIR/NAME)",
    )
    parser.add_argument(
        "destination",
        type=path_arguments.local,
        metavar="DST",
        help="output file: .npz, .safetensors or .bundle",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="name from `prismlab models`, or a .json file with the release's field names; "
        "not needed if the source fits one preset or contains its configuration",
    )


def run(options: argparse.Namespace) -> int:
    """Load the weights, save them and print what was written."""
    from prismlab.core import trees
    from prismlab.core.weights import release_models, released
    from prismlab.experiments import console
    from prismlab.experiments.encoders import named_model

    model = named_model.read(options.source, options.model)
    released.save(model, options.destination)
    out, config = console.make_console(), release_models.describe(model)
    count = trees.count(model)
    console.say(out, f"written: {options.destination} ({config.kind}, {count:,} parameters)")
    if config.text_sines != "release" and options.destination.suffix == ".npz":
        console.say(
            out,
            "note: the source contains the text positions of transformers; the release's format has none, so "
            "text embeddings from this file use the release's positions",
        )
    return 0
