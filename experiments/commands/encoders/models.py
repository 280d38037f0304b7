"""`prismlab models`: list the public models."""

import argparse

NAME = "models"
HELP = "list the public models: parameters, frames, resolution, tokens, file, licence"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    from prismlab.core import trees
    from prismlab.core.weights import release_config, weight_formats
    from prismlab.experiments import console

    shape = ("frames", "resolution", "tokens")
    columns = ("model", "kind", "parameters", *shape, "Hugging Face", "file", "licence")
    lines = []
    for name in release_config.CONFIGS:
        config = release_config.checked(name)
        file = release_config.FILES.get(name)
        lines.append(
            [
                name,
                config.kind,
                f"{trees.count(weight_formats.abstract(config)):,}",
                str(config.frames),
                str(config.resolution),
                str(config.frames * config.side**2),
                release_config.page(name) or "-",
                file or "no public weights",
                release_config.LICENCE if file else "-",
            ]
        )
    console.table(console.make_console(), columns, lines, numbers=("parameters", *shape))
    return 0
