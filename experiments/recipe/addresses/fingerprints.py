"""What a result depends on besides its configuration: code, content of data and settings of JAX.

An address (`stages`) is a hash of all of it: a number is reused only if nothing changed that could change it.
"""

import dataclasses
import enum
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from prismlab.core import code_fingerprint, errors
from prismlab.core.io import file_digest, user_paths
from prismlab.data.loader import loader, source
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import code_memory

# Trains every stage, whatever its configuration names: initial weights, batches, loss, update and resume.
# The engine, commands, launchers, console and report decide when and where that happens, not its numbers.
TRAINING = (
    "prismlab.core.train.steps.accumulate",
    "prismlab.core.train.checkpoints.checkpoint",
    "prismlab.core.train.learner",
    "prismlab.core.train.loops.loop",
    "prismlab.core.train.steps.step",
    "prismlab.data.loader.stream",
    "prismlab.experiments.run.initial_state",
)
# Calls every evaluation; the code of the towers is in the address of the stage.
EVALUATING = ("prismlab.core.train.checkpoints.checkpoint", "prismlab.experiments.run.initial_state")
# Write down and watch what the training loop does, and take no part in it.
WATCHING = (
    "prismlab.core.parallel.heartbeat",
    "prismlab.core.events.event_log",
    "prismlab.core.events.telemetry",
    "prismlab.experiments.recipe.progress",
)
# Settings of JAX that change numbers, by the environment variable that sets them.
JAX_SETTINGS = ("JAX_ENABLE_X64", "JAX_DEFAULT_PRNG_IMPL", "JAX_DEFAULT_MATMUL_PRECISION",
                "JAX_THREEFRY_PARTITIONABLE")  # fmt: skip


def settings() -> dict[str, Any]:
    """Return environment variable -> value of the settings of JAX that change numbers."""
    return {name: getattr(jax.config, name.lower()) for name in JAX_SETTINGS}


Accept = Callable[[str, Mapping[str, Any]], tuple[Mapping[str, Any], list[str]] | None]


class Fingerprints:
    """Fingerprints of code and data, each computed once: they belong to the start of a run.

    Args:
        cache: directory shared by runs, which remembers hashes of files. None leaves the content of sources
            out: addresses are then good for comparing stages with each other (`prismlab check`), and for
            finding results only where all sources are rendered.
        accept: name and inputs of a stage -> inputs of a finished stage of other code that stands for it,
            and the modules that differ; or None. See `run/accepted_code.py`.
    """

    def __init__(self, cache: pathlib.Path | None, accept: Accept | None = None):
        self.cache = cache
        self.accept = accept or (lambda name, inputs: None)
        self.unstated: set[str] = set()
        self.parents: dict[str, str] = {}
        self._contents: dict[str, str] = {}
        self._code: dict[tuple[str, ...], dict[str, str]] = {}

    def code(self, value: Any, always: tuple[str, ...]) -> dict[str, str]:
        """Return module -> hash of the code that a configured value is made of.

        Args:
            value: a configured value, or a tuple of them.
            always: modules that use it.
        """
        parts = [each for _, each in walk(value)]
        parts += [owner for each in parts if (owner := getattr(each, "__self__", None)) is not None]
        named = {each.__module__ for each in parts if isinstance(getattr(each, "__module__", None), str)}
        roots = tuple(sorted({*named, *always}))
        if roots not in self._code:
            with code_memory.kept(self.cache):
                self._code[roots] = code_fingerprint.closure(roots, WATCHING)
        return self._code[roots]

    def data(self, value: Any) -> dict[str, str]:
        """Return path -> digest of the content of each source and file that a configured value names.

        Args:
            value: a configured value, such as a stage without what does not change its result.

        Raises:
            UserError: the data is missing or cannot be read.
        """
        found = {path: self._content(each) for path, each in contents(value)}
        return {path: digest for path, digest in found.items() if digest}

    def check(self, value: Any, known: Mapping[str, str], what: str) -> None:
        """Check that data is still what it was, before it is opened.

        Args:
            value: see `data`.
            known: what `data` returned at the start of the run.
            what: the stage or evaluation, for the message.

        Raises:
            UserError: a source or file has another content than at the start of this run.
        """
        now = Fingerprints(self.cache).data(value)
        changed = sorted(path for path in {*now, *known} if now.get(path) != known.get(path))
        if changed:
            raise errors.UserError(
                f"{what}: the content of {', '.join(changed)} changed since this run began; run the same "
                "command again to use the new one"
            )

    def _content(self, value: Any) -> str:
        key = value if isinstance(value, str) else describe.address(describe.describe(value))
        if key not in self._contents:
            if isinstance(value, str):
                path = _file(value)
                assert path is not None
                self._contents[key] = file_digest.sha256_of(path.parent, [path.name], self.cache)[path.name]
            elif self.cache is None:
                self._contents[key] = ""
            elif isinstance(value, source.Stated):
                self._contents[key] = value.content_digest(self.cache)
            else:
                self.unstated.add(f"{type(value).__module__}.{type(value).__qualname__}")
                self._contents[key] = ""
        return self._contents[key]


def contents(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, source or name of a file) of a configured value; sources are not searched further."""
    for where, each in walk(value, path, stop=_is_source):
        if _is_source(each) or (isinstance(each, str) and _file(each) is not None):
            yield where, each


def walk(value: Any, path: str = "", stop: Any = lambda each: False) -> Iterator[tuple[str, Any]]:
    """Yield (path, part) of everything in a configured value: instances, classes, functions, plain values.

    Args:
        value: see `describe.describe`.
        path: path of the value.
        stop: returns True for an instance whose fields are not to be searched.
    """
    join = lambda name: f"{path}.{name}" if path else str(name)
    inner: Mapping[str, Any] = {}
    if isinstance(value, functools.partial):
        yield path, value.func
        inner = {join(name): each for name, each in describe.arguments(value, path).items()}
    elif isinstance(value, (list, tuple)):
        inner = {f"{path}[{index}]": each for index, each in enumerate(value)}
    elif isinstance(value, Mapping):
        inner = {join(name): each for name, each in value.items()}
    elif isinstance(value, enum.Enum):
        yield path, type(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield path, value
        skipped = describe.without_effect(type(value))
        if not stop(value):
            names = [each.name for each in dataclasses.fields(value) if each.name not in skipped]
            inner = {join(name): getattr(value, name) for name in names}
    else:
        yield path, value
    for where, each in inner.items():
        yield from walk(each, where, stop)


def _is_source(value: Any) -> bool:
    if isinstance(value, (type, str, loader.Line)):
        return False
    return isinstance(value, (source.Source, source.Stated)) and dataclasses.is_dataclass(value)


def _file(text: str) -> pathlib.Path | None:
    """Return the file that a text names, or the weights in the folder that it names, or None."""
    if "\0" in text or "://" in text:
        return None
    try:
        path = user_paths.local(text).absolute()
        # Names of stages and towers have no suffix, so a file beside them is no content of theirs.
        if os.path.splitext(text)[1] and path.is_file():
            return path
        weights = path / "model.safetensors"
        return weights if weights.is_file() else None
    except (OSError, errors.UserError):
        return None
