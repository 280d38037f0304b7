"""`prismlab inspect`: list the arrays of a weight file or checkpoint."""

import argparse

from prismlab.experiments.commands import path_arguments

NAME = "inspect"
HELP = (
    "list the arrays of a weight file or a stage's checkpoint: names, shapes, dtypes, norms, matching preset"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file argument."""
    parser.add_argument(
        "file",
        type=path_arguments.path,
        metavar="FILE",
        help=".npz, .safetensors, .bundle, or a stage (WORKDIR/stages/NAME or WORKDIR/NAME)",
    )


def run(options: argparse.Namespace) -> int:
    """Print one line per array, then a summary."""
    import numpy as np

    from prismlab.core.weights import matching, weight_files
    from prismlab.experiments import console
    from prismlab.experiments.encoders import named_model

    out = console.make_console()
    file = named_model.stage_or_file(options.file)
    contents = weight_files.open_file(file)
    lines, broken = [], []
    for name in sorted(contents.shapes):
        value = contents.read([name])[name].astype(np.float64)
        if not np.isfinite(value).all():
            broken.append(name)
        shape = " x ".join(map(str, contents.shapes[name])) or "scalar"
        norm = f"{np.linalg.norm(value.ravel()):.6g}"
        lines.append([name, shape, str(contents.types[name]), norm])
    console.table(out, ("array", "shape", "type", "norm"), lines)
    total = sum(int(np.prod(shape, dtype=np.int64)) for shape in contents.shapes.values())
    at = "" if contents.step is None else f", step {contents.step}"
    console.say(out, f"{len(contents.shapes)} arrays, {total:,} numbers, weight format {contents.layout}{at}")
    fit = matching.presets(contents)
    console.say(out, f"fits: {', '.join(fit) if fit else 'no preset'}")
    sizes = named_model.sizes(file, contents)
    if sizes is not None:
        told = [f"{name} {value}" for name, value in sizes.plain().items() if name != "kind"]
        console.say(out, f"sizes: {', '.join([sizes.kind, *sorted(told)])}")
    for name in broken:
        console.say(out, f"not finite: {name}")
    return 0
