"""Check that a weight file fits a model: report all mismatched arrays, and the preset that does fit."""

from collections.abc import Iterable, Mapping

import numpy as np

from prismlab.core import errors
from prismlab.core.nn import positions
from prismlab.core.weights import hf_names, release_config, weight_files, weight_formats

_FLOATING = ("float64", "float32", "float16", "bfloat16")
# Tolerance: the text positions of both formulas differ by more than this from the second position on.
_SAME_SINES = 1e-4


def faults(table: Mapping[str, weight_formats.Entry], contents: weight_files.Contents) -> list[str]:
    """Return one line for each array that is missing, unknown, of a wrong shape or not floating point.

    Args:
        table: from `weight_formats.entries`.
        contents: the open file.
    """
    shapes = {name: contents.shapes[name] for name in _considered(table, contents)}
    lines = [f"missing: {name} {table[name].shape}" for name in sorted(table.keys() - shapes.keys())]
    lines += [f"unknown: {name} {shapes[name]}" for name in sorted(shapes.keys() - table.keys())]
    for name in sorted(table.keys() & shapes.keys()):
        if shapes[name] != table[name].shape:
            lines.append(f"wrong shape: {name} expected {table[name].shape}, got {shapes[name]}")
        elif contents.types[name] not in _FLOATING:
            lines.append(f"not floating: {name} is {contents.types[name]}")
    return lines


def _considered(table: Mapping[str, weight_formats.Entry], contents: weight_files.Contents) -> Iterable[str]:
    names = contents.shapes.keys()
    if contents.layout == weight_formats.HUGGING_FACE:
        return [name for name in names if name not in (hf_names.POSITIONS, hf_names.POSITION_IDS)]
    if contents.step is not None and contents.config is None:
        # A stage also contains objectives, and possibly a pooler or a tower that this model does not use.
        parts = {"/".join(name.split("/")[:3]) for name in table}
        return [name for name in names if "/".join(name.split("/")[:3]) in parts]
    return names


def presets(contents: weight_files.Contents) -> list[str]:
    """Return the names of the presets whose arrays match a file.

    Args:
        contents: the open file.
    """
    found = []
    for name in release_config.CONFIGS:
        config = release_config.checked(name)
        if not faults(
            weight_formats.entries(contents.layout, config, weight_formats.abstract(config)), contents
        ):
            found.append(name)
    return found


def require(
    config: release_config.ReleaseConfig,
    table: Mapping[str, weight_formats.Entry],
    contents: weight_files.Contents,
) -> None:
    """Raise an error if a file does not fit the configuration.

    Args:
        config: from `release_config.checked`.
        table: from `weight_formats.entries`, of this configuration and the file's weight format.
        contents: the open file.

    Raises:
        UserError: a header with the preset that fits, if any, followed by one line per mismatch.
    """
    lines = faults(table, contents)
    if not lines:
        return
    fit = presets(contents)
    advice = (
        f"it fits {' or '.join(repr(name) for name in fit)}; use that name instead."
        if fit
        else f"it fits no preset either; check `kind` ({config.kind!r}) and the sizes."
    )
    header = f"released weights: {contents.path} does not fit the configuration; {advice}"
    raise errors.UserError("\n".join([header, *lines]))


def text_sines(config: release_config.ReleaseConfig, contents: weight_files.Contents) -> str | None:
    """Return the formula of the text positions stored in a file, or None if it stores none.

    Args:
        config: from `release_config.checked`.
        contents: the open file; must fit the configuration.

    Raises:
        UserError: the stored positions match neither formula.
    """
    if config.kind != "video_text" or hf_names.POSITIONS not in contents.shapes:
        return None
    shape = contents.shapes[hf_names.POSITIONS]
    if len(shape) == 2 and shape[1] == (config.text_dim or config.model_dim) and 0 < shape[0] <= 65_536:
        stored = contents.read([hf_names.POSITIONS])[hf_names.POSITIONS].astype(np.float32)
        for formula in (config.text_sines, *release_config.TEXT_SINES):
            expected = positions.sinusoids(shape[0], shape[1], last_included=formula == "release")
            if np.allclose(stored, expected, rtol=0.0, atol=_SAME_SINES):
                return formula
    raise errors.UserError(
        f"released weights: {contents.path}: {hf_names.POSITIONS} {shape} is neither the release's table "
        "of positions nor that of transformers, so the text embeddings would be wrong."
    )
