"""Files of weights: what they hold is known from their headers before an array is read; nothing is unpickled.

- `.npz`: the release's layout.
- `.safetensors`, or a folder with `model.safetensors`: the layout of Hugging Face.
- `.bundle`: one model of ours in one file (a safetensors container that also holds the configuration).
- a stage's folder, with `checkpoints/`, as a training run writes it.
"""

import dataclasses
import json
import os
import pathlib
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from prismlab.core import errors
from prismlab.core.io import atomic, filesystem
from prismlab.core.train import checkpoint
from prismlab.core.weights import weight_formats

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Contents:
    """An open file of weights.

    Args:
        path: where it lies.
        layout: see `layouts`.
        shapes: name -> shape of each array.
        types: name -> name of its dtype, as numpy says it.
        read: names -> arrays.
        config: the configuration stored beside the arrays, or None.
        step: the step of a checkpoint, or None.
    """

    path: filesystem.Place
    layout: str
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    read: Callable[[Iterable[str]], Arrays]
    config: Mapping[str, Any] | None = None
    step: int | None = None


def open_file(path: str | os.PathLike) -> Contents:
    """Open a file, or a folder, of weights.

    Args:
        path: see the top of this file.

    Raises:
        UserError: it is not there, or truncated, or of another kind, or holds anything but plain arrays.
    """
    path = filesystem.kept(path)
    if filesystem.is_remote(path) and not (path / "checkpoints").is_dir():
        raise errors.UserError(
            f"released weights: {path} is no stage of a work directory, and of a bucket only those are read: "
            "copy the file here first."
        )
    if path.is_dir():
        if (path / "checkpoints").is_dir():
            return _stage(path)
        if (path / "model.safetensors").is_file():
            return _safetensors(path / "model.safetensors", weight_formats.HUGGING_FACE)
        raise errors.UserError(
            f"released weights: {path} is a folder without checkpoints/ and without model.safetensors; give "
            "a stage of a work directory (WORKDIR/stages/NAME), or a file."
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
    shapes, types = {}, {}
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not a whole zip archive: truncated, or something else")
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    name = member.filename.removesuffix(".npy")
                    shapes[name], dtype = _npy_header(file)
                    size = file.tell() + dtype.itemsize * int(np.prod(shapes[name], dtype=np.int64))
                if dtype.hasobject:
                    raise ValueError(f"{name} holds pickled objects, which are never loaded")
                if size != member.file_size:
                    raise ValueError(f"{name} has {member.file_size} bytes where its header says {size}")
                types[name] = dtype.name
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as fault:
        raise _not_plain(path, "npz", fault) from fault

    def read(names: Iterable[str]) -> Arrays:
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in names}
        except (ValueError, OSError, zipfile.BadZipFile, zlib.error) as fault:
            raise _not_plain(path, "npz", fault) from fault

    return Contents(path, weight_formats.RELEASE, shapes, types, read)


def _npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f".npy version {version} is unknown")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _safetensors(path: pathlib.Path, layout: str) -> Contents:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
            types = {name: _TYPES.get(each.get_dtype(), each.get_dtype()) for name, each in slices.items()}
            beside = file.metadata() or {}
        config = json.loads(beside["config"]) if "config" in beside else None
        step = int(beside["step"]) if "step" in beside else None
    except (safetensors.SafetensorError, OSError, ValueError) as fault:
        raise _not_plain(path, "safetensors", fault) from fault
    if layout == weight_formats.BUNDLE and not isinstance(config, dict):
        raise errors.UserError(f"released weights: {path} holds no configuration: no bundle of ours.")

    def read(names: Iterable[str]) -> Arrays:
        # numpy has no bfloat16 of its own; the reader for jax brings one.
        framework = "flax" if "bfloat16" in types.values() else "np"
        with safetensors.safe_open(path, framework=framework) as file:
            return {name: np.asarray(file.get_tensor(name)) for name in names}

    return Contents(path, layout, shapes, types, read, config, step)


def _stage(path: filesystem.Place) -> Contents:
    at, arrays = checkpoint.read_learner(path / "checkpoints")
    shapes = {name: value.shape for name, value in arrays.items()}
    types = {name: value.dtype.name for name, value in arrays.items()}
    read = lambda names: {name: arrays[name] for name in names}
    return Contents(path, weight_formats.BUNDLE, shapes, types, read, step=at)


def _not_plain(path: pathlib.Path, kind: str, fault: Exception) -> errors.UserError:
    told = " ".join(str(fault).split())[:300]
    return errors.UserError(f"released weights: {path} is not a plain .{kind} of arrays ({told}).")


def write(path: pathlib.Path, layout: str, arrays: Arrays, metadata: Mapping[str, str] | None = None) -> None:
    """Write a file of weights, whole or not at all.

    Args:
        path: the file; its folder is made when missing.
        layout: RELEASE writes an uncompressed .npz, the others a safetensors container.
        arrays: name -> array.
        metadata: texts to be stored beside the arrays of a safetensors container.

    Raises:
        UserError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    os.close(descriptor)
    try:
        if layout == weight_formats.RELEASE:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        else:
            safetensors.numpy.save_file(arrays, temporary, metadata=dict(metadata or {}))
        atomic.settle(pathlib.Path(temporary), path)
    except BaseException as error:
        pathlib.Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise atomic.disk_error(path, error) from error
        raise


# What numpy calls the types of a safetensors file.
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
