"""Prepare a corpus: convert raw files to shards, in parallel over processes and hosts, resumable.

A unit of the input becomes one shard and one sheet (`parts/000000.json`), both written atomically. Units
depend only on the input, so a killed run resumes with the units that have no sheet and produces the same
bytes. The run that finds all sheets complete writes the rejected clips, the dataset card and the manifest.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json, file_errors, file_names, filesystem, locks
from prismlab.data import process_pool
from prismlab.data.corpus import clip_encoding as encoding_module
from prismlab.data.corpus import corpus_statistics, finish, unit_sheet
from prismlab.data.corpus.inputs import media
from prismlab.data.records import manifest, shard_file
from prismlab.data.video.containers import container

_LOG = logging.getLogger(__name__)
FORMAT = 2  # increment when the same spec would produce other shards
_RATE_FROM = 200  # clips after which the fraction of rejected clips is checked during the run
# Larger than in training: the input may be recordings of an hour or more.
LIMITS = container.Limits(max_bytes=8 << 30, max_frames=500_000, seconds=3600.0)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Spec of a corpus for `prismlab data prepare`: input, encoding and limits.

    Args:
        source: reader of the raw files, one of `prismlab.data.corpus.inputs`.
        encoding: encoding of each clip.
        about: origin and license of the data, for the dataset card.
        max_rejected: maximum fraction of bad clips, in [0, 1); above it the run stops.
        limits: limits on each file; `seconds` is wall-clock time, so keep it well above the time files need.
    """

    source: media.Input
    encoding: encoding_module.Encoding = dataclasses.field(default_factory=encoding_module.H264)
    about: str = ""
    max_rejected: float = 0.05
    limits: container.Limits = LIMITS

    def __post_init__(self) -> None:
        if not 0 <= self.max_rejected < 1:
            raise errors.UserError(f"expected Corpus.max_rejected in [0, 1), got {self.max_rejected}")

    @property
    def identity(self) -> dict[str, str]:
        """Settings that determine the bytes of the shards."""
        parts = {"source": self.source, "encoding": self.encoding, "limits": self.limits}
        return {"format": str(FORMAT), **{name: repr(value) for name, value in parts.items()}}


Progress = Callable[[int, int], None]


def prepare(
    corpus: Corpus,
    out: str,
    *,
    part: tuple[int, int] = (1, 1),
    processes: int = 0,
    text: str = "",
    progress: Progress | None = None,
) -> manifest.Manifest | None:
    """Write the shards of a corpus, or resume an earlier run.

    Args:
        corpus: the corpus to write.
        out: output folder or URL.
        part: (i, n): this run writes every n-th unit, from the i-th (1 to n). The n runs need to share only
            `out`.
        processes: worker processes; 0 runs in this process.
        text: gin spec, for the dataset card.
        progress: called as progress(units done, total units).

    Returns:
        The manifest if all parts are complete, None otherwise. Shards and sheets of an earlier run are
        compared with their checksums (those of other parts with their sizes), and damaged ones are written
        again.

    Raises:
        UserError: an input error, another corpus in `out`, too many bad clips, or a full disk.
    """
    with _alone(out, part):
        _claim(corpus, out)
        total, listed = _count(corpus.source)
        if progress is not None:
            progress(0, _share(total, part))
        tally, again = corpus_statistics.Statistics(), hashlib.sha256()
        sheets = process_pool.each(
            functools.partial(write_unit, corpus, out), _mine(corpus.source, part, again), processes
        )
        with contextlib.closing(sheets):  # after an error no unit is written once `out` is released
            for done, sheet in enumerate(sheets, 1):
                tally = corpus_statistics.merged([tally, sheet.statistics])
                if tally.clips + tally.rejected >= _RATE_FROM:
                    _judge(corpus, tally, sheet.rejected)
                if progress is not None:
                    progress(done, _share(total, part))
        if again.hexdigest() != listed:
            raise media.Stop(
                "the input changed while it was read; run again when no other process writes to it"
            )
        if not finish.complete(out, total):
            return None
        found = [_sheet(corpus, out, unit) for unit in corpus.source.units()]
        beside = corpus_statistics.of_passed_over(corpus.source.passed_over())
        tally = corpus_statistics.merged([*(sheet.statistics for sheet in found), beside])
        _judge(corpus, tally, next((sheet.rejected for sheet in found if sheet.rejected), ()))
        return finish.write(out, found, tally, corpus.about, text)


def _sheet(corpus: Corpus, out: str, unit: media.Unit) -> unit_sheet.Sheet:
    """Return the sheet of a unit that another part may have written; it is written again if damaged."""
    sheet = unit_sheet.read(out, unit.number)
    if sheet is None or not unit_sheet.intact(out, sheet, whole=False):
        sheet = write_unit(corpus, out, unit)
    return sheet


def write_unit(corpus: Corpus, out: str, unit: media.Unit) -> unit_sheet.Sheet:
    """Write the shard and the sheet of one unit, unless they exist and are intact.

    Returns:
        The sheet.
    """
    path = file_names.join(out, unit_sheet.name(unit.number))
    sheet = unit_sheet.read(out, unit.number)
    if sheet is not None:
        if sheet.unit != unit.identity:
            raise media.Stop(
                f"{path}: expected a sheet of the same clips, got another: the input has changed since this "
                "shard was written; choose another directory or delete this one"
            )
        if unit_sheet.intact(out, sheet, whole=True):
            return sheet
    if filesystem.file_type(path) is not None:
        _LOG.warning("%s: the sheet or its shard is damaged; this shard is written again", path)
    parts, rejected = list[corpus_statistics.Statistics](), list[unit_sheet.Rejected]()
    passed_over, shard = list[media.PassedOver](), None
    name = f"shard-{unit.number:06d}.array_record"
    with filesystem.atomic_file(file_names.join(out, name)) as temporary:
        with shard_file.Writer(temporary) as writer:
            for found in _clips(corpus, unit):
                if isinstance(found, media.PassedOver):
                    passed_over.append(found)
                    continue
                cut, made = found
                try:
                    if isinstance(made, errors.UserError):
                        raise made
                    writer.write(made.record)
                except errors.UserError as fault:
                    rejected.append(unit_sheet.Rejected(cut.key, media.reason(fault)))
                else:
                    parts.append(corpus_statistics.of(made))
        if parts:
            shard = manifest.Shard(name, len(parts), **shard_file.measure(temporary))
        else:
            temporary.unlink()  # no shard is written
    own = corpus_statistics.Statistics(rejected=len(rejected))
    tally = corpus_statistics.merged([*parts, own, corpus_statistics.of_passed_over(passed_over)])
    sheet = unit_sheet.Sheet(unit.identity, unit.number, shard, tally, tuple(rejected))
    filesystem.write_atomic(path, sheet.encoded())
    return sheet


def _clips(corpus: Corpus, unit: media.Unit) -> Iterator[encoding_module.Outcome | media.PassedOver]:
    for medium in corpus.source.read(unit):
        if isinstance(medium, media.PassedOver):
            yield medium
            continue
        path = medium.path
        before = filesystem.size_and_version(path) if path and filesystem.file_type(path) == "file" else None
        with contextlib.ExitStack() as stack:
            if before is not None and filesystem.is_remote(path):
                medium = dataclasses.replace(medium, path=stack.enter_context(filesystem.local_copy(path)))
            try:
                outcomes = list(corpus.encoding(medium, corpus.limits))
            except media.WRONG as error:
                if isinstance(error, media.Stop) or file_errors.is_full(error):
                    raise
                known = isinstance(error, errors.UserError)
                fault = errors.UserError(error if known else f"{medium.name}: {media.reason(error)}")
                outcomes = [(cut, fault) for cut in medium.cuts]
        if before is not None and filesystem.size_and_version(path) != before:
            raise media.Stop(
                f"{path}: changed while it was read; run again when no other process writes to it"
            )
        yield from outcomes


def _count(source: media.Input) -> tuple[int, str]:
    """Return the number of units and a checksum over all of them, in one streaming pass."""
    total, seen = 0, hashlib.sha256()
    for unit in source.units():
        total += 1
        seen.update(unit.identity.encode())
    return total, seen.hexdigest()


def _share(total: int, part: tuple[int, int]) -> int:
    return len(range(part[0] - 1, total, part[1]))


def _mine(source: media.Input, part: tuple[int, int], seen: Any) -> Iterator[media.Unit]:
    for unit in source.units():
        seen.update(unit.identity.encode())
        if unit.number % part[1] == part[0] - 1:
            yield unit


def _judge(
    corpus: Corpus, tally: corpus_statistics.Statistics, rejected: Sequence[unit_sheet.Rejected]
) -> None:
    bad, seen = tally.rejected, tally.clips + tally.rejected
    if bad > corpus.max_rejected * seen:
        example = f" (for example: {rejected[0].why})" if rejected else ""
        raise media.Stop(
            f"expected at most {corpus.max_rejected:.1%} bad clips, got {bad} of {seen}{example}; "
            "see parts/*.json, correct the input or raise prepare_corpus.Corpus.max_rejected; shards are kept"
        )


def _claim(corpus: Corpus, out: str) -> None:
    """Write the corpus identity into the output folder; raise if it belongs to another corpus."""
    path = file_names.join(out, "prepare.json")
    if filesystem.file_type(path) == "file":
        mine = corpus.identity
        try:
            found = checked_json.parse(Mapping[str, str], json.loads(filesystem.read(path, 1 << 20)))
        except errors.UserError:
            raise
        except (ValueError, RecursionError) as error:
            raise media.Stop(
                f"{path}: expected the spec of this folder, got a damaged file ({media.reason(error)}); "
                "choose another directory or delete this one"
            ) from error
        differ = sorted(name for name in mine | found if mine.get(name) != found.get(name))
        if differ:
            raise media.Stop(
                f"{out}: expected an empty folder or one of the same spec, got one that differs in "
                f"{', '.join(differ)}; choose another directory or delete this one"
            )
    elif filesystem.file_type(file_names.join(out, manifest.NAME)) == "file":
        raise media.Stop(f"{out}: expected an empty folder, got other shards; choose another directory")
    else:
        filesystem.write_atomic(path, json.dumps(corpus.identity, indent=1, sort_keys=True).encode())


@contextlib.contextmanager
def _alone(out: str, part: tuple[int, int]) -> Iterator[None]:
    """Lock this part; raise if another run on this machine is writing it."""
    if filesystem.is_remote(out):
        yield
        return
    busy = f"{out}: another run writes this part; wait for it or stop it"
    with locks.held(pathlib.Path(out) / f".part-{part[0]}-of-{part[1]}.lock", busy):
        yield
