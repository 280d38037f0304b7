"""Arguments shared by `embed` and `search`: the model, and its weights if it is a released one."""

import argparse
from typing import Any


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model and its weights."""
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help="a stage (WORKDIR/stages/NAME or WORKDIR/NAME), a weight file with its sizes, a preset "
        "from `prismlab models`, or a .json file with the sizes",
    )
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--weights", metavar="FILE", help="weight file of a preset or .json file")
    weights.add_argument(
        "--random-weights", action="store_true", help="use random weights (always the same), for testing"
    )


def load(options: argparse.Namespace) -> tuple[Any, str]:
    """Return the model (`named_model.NamedModel`) and the sha256 of its arrays."""
    from prismlab.core import trees
    from prismlab.experiments.encoders import named_model
    from prismlab.experiments.run import transfer_guard

    transfer_guard.check()
    named = named_model.named(options.model, options.weights, random_weights=options.random_weights)
    return named, trees.digest(trees.flatten(named.model))
