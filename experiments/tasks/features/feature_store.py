"""Store of features on disk: one array that grows by shards, and for each shard a list of the clips in it.

A folder holds features of one key only (`feature_key`): `key.json` says which, and opening it with another
key is refused. `features/` is a Zarr 3 array [rows, passes, views, ...], readable by any Zarr library; a
shard of rows is one file, written at once. `shards/N.json` is written after the shard and names the clip of
each row, with the reason where it has no features. A shard without its list is written again, so a kill
costs one shard. Nothing that was written is changed later.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import tensorstore
from jaxtyping import Float, Float32, Int64

from prismlab.core import errors
from prismlab.core.io import checked_json, file_errors, filesystem, locks
from prismlab.experiments.recipe import describe
from prismlab.experiments.tasks.features import feature_key

MOST_ROWS = 1024  # of a shard
_BUSY = "another process is writing features to {}; wait for it, then run again"
_REMEDY = "delete this folder, and its features are computed again"


def number_type(name: str) -> np.dtype:
    """Return a number type by its name: float32, bfloat16 or float16."""
    if name not in ("float32", "bfloat16", "float16"):
        raise errors.UserError(f"features: expected dtype float32, bfloat16 or float16, got {name!r}")
    return np.dtype(jnp.dtype(name))


class FeatureStore:
    """Features of the clips that were encoded so far, by the identity of the clip.

    Args:
        home: folder that holds stores; this one is the folder below it that is named by the key.
        key: see `feature_key.of`.
        shape: shape of the features of one view.
        shard_bytes: bytes of a shard, if the array does not exist yet.

    Raises:
        UserError: the folder holds features of another key, or is damaged.
    """

    def __init__(
        self, home: pathlib.Path, key: Mapping[str, Any], shape: Sequence[int], shard_bytes: int = 128 << 20
    ):
        self.key = key
        self.folder = home / describe.address(key)
        self.dtype = number_type(key["dtype"])
        how = key["protocol"]
        views = how["clips"] * (3 if how["crop"] == "three" else 1)
        self.row_shape = (int(how["passes"]), views, *shape)
        self.row_bytes = int(np.prod(self.row_shape)) * self.dtype.itemsize
        self.rows_a_shard = max(1, min(MOST_ROWS, shard_bytes // self.row_bytes))
        self._places: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._shards = 0
        self._array: Any = None
        self.refresh()

    def refresh(self) -> None:
        """Read the lists of shards that were written since the last time, also by other processes."""
        given = self.folder / "key.json"
        if not given.exists():
            return
        known = _loaded(given, "key")
        if known != self.key:
            what = ", ".join(feature_key.difference(known, self.key)[:5])
            raise errors.UserError(f"{self.folder} holds features of another key ({what}); {_REMEDY}")
        if not (self.folder / "features" / "zarr.json").exists():
            return
        if self._array is None or self._list(self._shards).exists():
            self._open(create=False)  # again: the array has grown
        while (path := self._list(self._shards)).exists():
            self._learn(_loaded(path, "rows"))

    def _learn(self, rows: Sequence[Sequence[str]]) -> None:
        start = self._shards * self.rows_a_shard
        for place, (identity, reason) in enumerate(rows):
            if reason:
                self._failed[identity] = reason
            else:
                self._places[identity] = start + place
                self._failed.pop(identity, None)
        self._shards += 1

    def _list(self, shard: int) -> pathlib.Path:
        return self.folder / "shards" / f"{shard:06d}.json"

    def place(self, identity: str) -> int | None:
        """Return the row of a clip, or None if the store has no features of it."""
        return self._places.get(identity)

    def reason(self, identity: str) -> str | None:
        """Return why a clip could not be encoded, or None."""
        return self._failed.get(identity)

    def __len__(self) -> int:
        """Number of clips with features."""
        return len(self._places)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only process that appends; first read what others appended.

        Raises:
            UserError: another process is writing, or the folder cannot be written.
        """
        with locks.held(self.folder / ".lock", _BUSY.format(self.folder)):
            self.refresh()
            if not (self.folder / "key.json").exists():
                sealed = checked_json.sealed({"key": dict(self.key)})
                filesystem.write_atomic(self.folder / "key.json", _json(sealed))
            if self._array is None:
                self._open(create=True)
            yield

    def append(
        self,
        identities: Sequence[str],
        features: Float[np.ndarray, "r p v ..."],
        failed: Mapping[str, str],
    ) -> None:
        """Write one shard; only within `writing`.

        Args:
            identities: the clips with features, in the order of the rows.
            features: at most `rows_a_shard` rows together with the failed clips.
            failed: identity -> reason, of clips without features.
        """
        start = self._shards * self.rows_a_shard
        rows = [[each, ""] for each in identities] + [[each, why] for each, why in failed.items()]
        with self._errors("written"):
            shape = (start + self.rows_a_shard, *self.row_shape)
            self._array = self._array.resize(exclusive_max=shape).result()
            if len(features):
                self._array[start : start + len(features)].write(features.astype(self.dtype)).result()
        filesystem.write_atomic(self._list(self._shards), _json(checked_json.sealed({"rows": rows})))
        self._learn(rows)

    def take(self, places: Int64[np.ndarray, " n"], number: int = 0) -> Float32[np.ndarray, "n v ..."]:
        """Return the features of these rows in one pass.

        Raises:
            UserError: the files are damaged.
        """
        unique, back = np.unique(places, return_inverse=True)
        with self._errors("read"):
            found = self._array[:, number].oindex[unique].read().result()
        return np.asarray(found).astype(np.float32)[back]

    def _open(self, create: bool) -> None:
        spec: dict[str, Any] = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{self.folder / 'features'}/"},
        }
        if create:
            inner = {
                "chunk_shape": [1, 1, *self.row_shape[1:]],
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            }
            chunk = [self.rows_a_shard, *self.row_shape]
            spec["metadata"] = {
                "shape": [0, *self.row_shape],
                "data_type": self.dtype.name,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
                "codecs": [{"name": "sharding_indexed", "configuration": inner}],
            }
        with self._errors("opened"):
            self._array = tensorstore.open(spec, open=True, create=create).result()
            self.rows_a_shard = int(self._array.chunk_layout.write_chunk.shape[0])
        if self._array.shape[1:] != self.row_shape:
            raise errors.UserError(
                f"{self.folder}: expected rows of shape {self.row_shape}, found {self._array.shape[1:]}; "
                f"{_REMEDY}"
            )

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Convert the errors of TensorStore, which are texts with its own source lines, to one line."""
        try:
            with file_errors.translate_errors(self.folder):
                yield
        except errors.UserError:
            raise
        except Exception as error:
            reason = " ".join((str(error).splitlines() or [""])[0].split())[:200]
            full = "No space left" in reason or "RESOURCE_EXHAUSTED" in reason
            advice = "free some space, then run again" if full else _REMEDY
            raise errors.UserError(f"{self.folder} could not be {what} ({reason}); {advice}") from error


def _loaded(path: pathlib.Path, name: str) -> Any:
    read = checked_json.load(path, _REMEDY)
    if not isinstance(read, dict) or name not in read:
        raise errors.UserError(f"{path}: expected an object with {name!r}, found none; {_REMEDY}")
    return read[name]


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=None, ensure_ascii=False) + "\n").encode()
