"""Read and write weight files. Headers are checked before arrays are read, and nothing is unpickled.

- `.npz`: weight format of the release.
- `.safetensors`, or a folder with `model.safetensors`: weight format of Hugging Face.
- `.bundle`: one of our models in one file (a safetensors container that also contains the configuration).
- a stage directory of a training run, with `checkpoints/`.

Each of them has a checksum of every array, which is compared when the array is read; `.safetensors` files of
other programs have none.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from prismlab.core import errors
from prismlab.core.io import filesystem, npz_files
from prismlab.core.train.checkpoints import stage_folder
from prismlab.core.weights import weight_formats

Arrays = dict[str, np.ndarray]
# Metadata of the safetensors files that we write: JSON of name -> sha256 of each array and, under the empty
# name, of the other metadata.
_SUMS, _OTHER = "sha256", ""


@dataclasses.dataclass(frozen=True)
class Contents:
    """An open weight file: array names, shapes and dtypes, and a function to read arrays.

    Args:
        path: path of the file or folder.
        layout: its weight format, see `weight_formats`.
        shapes: name -> shape of each array.
        types: name -> numpy dtype name of each array.
        read: names -> arrays.
        config: the configuration stored in the file, or None.
        step: the step of a checkpoint, or None.
    """

    path: filesystem.Path
    layout: str
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    read: Callable[[Iterable[str]], Arrays]
    config: Mapping[str, Any] | None = None
    step: int | None = None


def open_file(path: str | os.PathLike[str]) -> Contents:
    """Open a weight file or folder.

    Args:
        path: see the module docstring.

    Raises:
        UserError: the file is missing, truncated, of another kind, or contains anything but arrays.
    """
    path = filesystem.as_path(path)
    if filesystem.is_remote(path) and not (path / "checkpoints").is_dir():
        raise errors.UserError(
            f"released weights: {path} is not a stage of a work directory, and only stages can be read from "
            "a bucket; copy the file to this machine first."
        )
    if path.is_dir():
        if (path / "checkpoints").is_dir():
            return _stage(path)
        if (path / "model.safetensors").is_file():
            return _safetensors(path / "model.safetensors", weight_formats.HUGGING_FACE)
        raise errors.UserError(
            f"released weights: {path} is a folder with neither checkpoints/ nor model.safetensors; expected "
            "a stage of a work directory (WORKDIR/stages/NAME) or a file."
        )
    if not path.is_file():
        raise errors.UserError(
            f"released weights: no file at {path}; download the weights of this model first."
        )
    if path.suffix == ".safetensors":
        return _safetensors(path, weight_formats.HUGGING_FACE)
    if path.suffix == ".bundle":
        return _safetensors(path, weight_formats.BUNDLE)
    return _npz(path)


def _npz(path: pathlib.Path) -> Contents:
    try:
        archive = npz_files.Npz(path)
        headers = {name: archive.header(name) for name in archive.names}
    except npz_files.Invalid as fault:
        raise _not_plain(path, "npz", fault) from fault

    def read(names: Iterable[str]) -> Arrays:
        try:
            return archive.read(names)
        except npz_files.Invalid as fault:
            raise _not_plain(path, "npz", fault) from fault

    shapes = {name: header.shape for name, header in headers.items()}
    types = {name: header.dtype.name for name, header in headers.items()}
    return Contents(path, weight_formats.RELEASE, shapes, types, read)


def _safetensors(path: pathlib.Path, layout: str) -> Contents:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
            types = {name: _TYPES.get(each.get_dtype(), each.get_dtype()) for name, each in slices.items()}
            beside = file.metadata() or {}
        config = json.loads(beside["config"]) if "config" in beside else None
        step = int(beside["step"]) if "step" in beside else None
        sums = json.loads(beside.pop(_SUMS, "{}"))
    except (safetensors.SafetensorError, OSError, ValueError) as fault:
        raise _not_plain(path, "safetensors", fault) from fault
    if not isinstance(sums, dict) or (sums and sums.get(_OTHER) != _sum_of(beside)):
        raise _damaged(path, "its description")
    if layout == weight_formats.HUGGING_FACE and not (isinstance(config, dict) and "kind" in config):
        config = None  # of another program
    if layout == weight_formats.BUNDLE and not isinstance(config, dict):
        raise errors.UserError(f"released weights: {path} has no configuration, so it is not a bundle.")

    def read(names: Iterable[str]) -> Arrays:
        # numpy has no bfloat16; the flax framework of safetensors supports it.
        framework = "flax" if "bfloat16" in types.values() else "np"
        with safetensors.safe_open(path, framework=framework) as file:
            found = {name: np.asarray(file.get_tensor(name)) for name in names}
        for name, array in found.items():
            if sums and sums.get(name) != _sum(array):
                raise _damaged(path, f"the array {name}")
        return found

    return Contents(path, layout, shapes, types, read, config, step)


def _stage(path: filesystem.Path) -> Contents:
    at, arrays = stage_folder.read(path)
    shapes = {name: value.shape for name, value in arrays.items()}
    types = {name: value.dtype.name for name, value in arrays.items()}
    read = lambda names: {name: arrays[name] for name in names}
    return Contents(path, weight_formats.BUNDLE, shapes, types, read, step=at)


def _sum(array: np.ndarray) -> str:
    found = hashlib.sha256(f"{array.dtype.name} {array.shape}".encode())
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def _sum_of(metadata: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode()).hexdigest()


def _damaged(path: pathlib.Path, what: str) -> errors.UserError:
    return errors.UserError(
        f"released weights: {path}: expected {what} as it was written, got another checksum; the file is "
        "damaged: copy it again."
    )


def _not_plain(path: pathlib.Path, kind: str, fault: Exception) -> errors.UserError:
    reason = " ".join(str(fault).split())[:300]
    return errors.UserError(f"released weights: {path} is not a plain .{kind} of arrays ({reason}).")


def write(path: pathlib.Path, layout: str, arrays: Arrays, metadata: Mapping[str, str] | None = None) -> None:
    """Write a weight file atomically.

    Args:
        path: path of the file; its folder is created if missing.
        layout: weight format; RELEASE writes an uncompressed .npz, the others a safetensors container.
        arrays: name -> array.
        metadata: strings to store in a safetensors container.

    Raises:
        UserError: if the disk is full.
    """
    with filesystem.atomic_file(path) as temporary:
        if layout == weight_formats.RELEASE:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        else:
            beside = dict(metadata or {})
            sums = {_OTHER: _sum_of(beside), **{name: _sum(array) for name, array in arrays.items()}}
            safetensors.numpy.save_file(arrays, temporary, metadata={**beside, _SUMS: json.dumps(sums)})


# safetensors dtype -> numpy dtype name.
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
