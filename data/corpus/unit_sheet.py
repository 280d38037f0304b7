"""Sheet of a unit of corpus preparation: its shard, statistics and rejected clips, with a checksum."""

import dataclasses
import hashlib
import json
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json, file_names, filesystem
from prismlab.data.corpus import corpus_statistics
from prismlab.data.records import manifest

_MOST_BYTES = 1 << 28


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A clip that was left out.

    Args:
        key: its name.
        why: what is wrong with it.
    """

    key: str
    why: str


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What became of one unit.

    Args:
        unit: `media.Unit.identity`.
        number: index of the unit.
        shard: its shard, or None if every clip was rejected.
        statistics: of its clips.
        rejected: its clips that were left out.
    """

    unit: str
    number: int
    shard: manifest.Shard | None
    statistics: corpus_statistics.Statistics
    rejected: tuple[Rejected, ...] = ()

    def __post_init__(self) -> None:
        """Check the values together; they may come from a damaged file."""
        if self.statistics.clips != (self.shard.records if self.shard else 0):
            raise errors.UserError("expected a shard with the clips of the statistics, got another")

    def encoded(self) -> bytes:
        """Return the sheet as JSON, with its checksum."""
        values: dict[str, Any] = dataclasses.asdict(self)
        digest = hashlib.sha256(_canonical(values)).hexdigest()
        return json.dumps(values | {"digest": digest}, indent=1, sort_keys=True, ensure_ascii=False).encode()


def name(number: int) -> str:
    """Return the path of a unit's sheet relative to the output folder."""
    return f"parts/{number:06d}.json"


def read(out: str, number: int) -> Sheet | None:
    """Return the sheet of a finished unit, or None if there is none or it is damaged."""
    path = file_names.join(out, name(number))
    if filesystem.file_type(path) != "file":
        return None
    try:
        found = json.loads(filesystem.read(path, _MOST_BYTES))
        digest = found.pop("digest", "") if isinstance(found, dict) else ""
        if hashlib.sha256(_canonical(found)).hexdigest() != digest:
            return None
        sheet: Sheet = checked_json.parse(Sheet, found)
    except (ValueError, RecursionError, errors.UserError):
        return None
    return sheet if sheet.number == number else None


def intact(out: str, sheet: Sheet, *, whole: bool) -> bool:
    """Return whether the shard of a sheet is as it was written.

    Args:
        out: output folder or URL.
        sheet: the sheet.
        whole: compare the checksum too, which reads the whole shard; else only its size.
    """
    if sheet.shard is None:
        return True
    path = file_names.join(out, sheet.shard.file)
    if filesystem.file_type(path) != "file" or filesystem.size_and_version(path)[0] != sheet.shard.bytes:
        return False
    if not whole:
        return True
    try:
        with filesystem.open_binary(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sheet.shard.sha256
    except OSError:
        return False


def _canonical(values: Any) -> bytes:
    return json.dumps(values, sort_keys=True).encode()
