"""Arguments shared by `embed` and `search`: the released model and its weights."""

import argparse
from typing import Any


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model and its weights."""
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help="preset from `prismlab models`, or a .json file with the sizes",
    )
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--weights", metavar="FILE", help="weight file of the model")
    weights.add_argument(
        "--random-weights", action="store_true", help="use random weights (always the same), for testing"
    )


def load(options: argparse.Namespace) -> tuple[Any, str]:
    """Return the model and the sha256 of its arrays."""
    from prismlab.core import trees
    from prismlab.experiments.released import released_weights
    from prismlab.experiments.run import transfer_guard

    transfer_guard.check()
    model = released_weights.load(options.model, options.weights)
    return model, trees.digest(trees.flatten(model))
