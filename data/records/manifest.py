"""Manifest of finished shards: names, sizes and checksums, validated when it is read."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json, file_names, filesystem
from prismlab.data.records import record as record_module

NAME = "manifest.json"
_MOST_BYTES = 1 << 30
_LEAST_RECORD = 14  # bytes of a record's fixed part
_REMEDY = "copy the directory again, or rebuild its shards"


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard file.

    Args:
        file: its name, in the folder of the manifest.
        records: number of records, 1 or more.
        bytes: size of the file.
        sha256: checksum of the file, 64 hex digits; empty in manifests that lack it.
    """

    file: str
    records: int
    bytes: int
    sha256: str = ""

    def __post_init__(self) -> None:
        """Check the values together; a manifest may come from somewhere else."""
        if not re.fullmatch(r"[^/\\\0]+", self.file) or self.file in (".", ".."):
            raise errors.UserError(f"expected the name of a file in this folder, got {self.file[:80]!r}")
        if not 1 <= self.records * _LEAST_RECORD <= self.bytes < 1 << 50:
            raise errors.UserError(
                f"expected 1 or more records in the bytes of {self.file!r}, got {self.records} in "
                f"{self.bytes}"
            )
        if not re.fullmatch("[0-9a-f]{64}|", self.sha256):
            raise errors.UserError(f"expected a sha256 of 64 hex digits, got {self.sha256[:80]!r}")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Manifest of finished shards.

    Args:
        schema_version: version of the record format.
        finished: True; the manifest is written last.
        records: number of records in all shards.
        shards: the shards, in order.
        source: one-line description of where the records come from.
        statistics: counts of `data prepare`; empty for shards written otherwise.
    """

    schema_version: int
    finished: bool
    records: int
    shards: tuple[Shard, ...]
    source: str = ""
    statistics: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values together."""
        if not self.finished:
            raise errors.UserError("expected a finished manifest, got an unfinished one")
        if self.records != sum(shard.records for shard in self.shards):
            raise errors.UserError(
                "expected consistent counts, got another sum of records than in its shards"
            )
        if len({shard.file for shard in self.shards}) < len(self.shards):
            raise errors.UserError("expected different files, got the same one twice")

    def encoded(self) -> bytes:
        """Return the manifest as JSON."""
        values = dataclasses.asdict(self)
        if not self.statistics:
            del values["statistics"]
        return json.dumps(values, indent=2, sort_keys=True).encode()


def read(directory: str) -> Manifest:
    """Read the manifest of a folder of shards.

    Args:
        directory: folder or URL.

    Raises:
        UserError: the manifest is missing, of another kind or version, or its values are impossible.
    """
    path = file_names.join(directory, NAME)
    if filesystem.file_type(path) != "file":
        raise errors.UserError(
            f"{path}: expected the manifest of finished shards, found none; "
            "correct the path, or rebuild the shards if writing was interrupted"
        )
    try:
        found = json.loads(filesystem.read(path, _MOST_BYTES))
        version = found.get("schema_version") if isinstance(found, dict) else None
        if isinstance(version, int) and version not in record_module.READABLE:
            raise errors.UserError(
                f"{path}: expected schema version {record_module.SCHEMA_VERSION}, got {version}; "
                "rebuild the shards with this version of the code (`prismlab data prepare`)"
            )
        manifest: Manifest = checked_json.parse(Manifest, found)
    except errors.UserError:
        raise
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise errors.UserError(
            f"{path}: expected a finished manifest with consistent counts, got an inconsistent or unreadable "
            f"one ({reason[:300]}); {_REMEDY}"
        ) from error
    return manifest
