"""What `embed` and `search` share: which released model, and which weights."""

import argparse
from typing import Any


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the model and its weights."""
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="a released model, or a .json file with its sizes"
    )
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--weights", metavar="FILE", help="file with the model's weights")
    weights.add_argument(
        "--random-weights", action="store_true", help="draw weights, always the same: for trying things out"
    )


def load(options: argparse.Namespace) -> tuple[Any, str]:
    """Return the model, and the sha256 of its arrays."""
    from prismlab.core import trees
    from prismlab.experiments.released import released_weights

    model = released_weights.load(options.model, options.weights)
    return model, trees.digest(trees.flatten(model))
