"""The golden models as users name them: a .json file of sizes, and an .npz in the release's layout."""

import json
import pathlib

import golden_models

GOLDEN = golden_models.GOLDEN


def named(folder: pathlib.Path, kind: str) -> tuple[str, str]:
    """Write the sizes into a folder; return model and weights as a user would type them."""
    path = folder / f"{kind}.json"
    path.write_text(json.dumps(golden_models.CONFIGS[kind]))
    return str(path), str(golden_models.parameters(kind))
