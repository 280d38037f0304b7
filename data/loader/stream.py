"""Step-addressed batches of a training stage, optionally split over the hosts of a run.

`Stream.batch(step)` is a pure function of (configuration, seed, position, step), so the step is the whole
state of the loader and is enough to resume.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import grain
import numpy as np
from absl import flags

from prismlab.core import errors
from prismlab.data.loader import bad_clips as ledger_module
from prismlab.data.loader import example, mixture

HostArrays = example.HostArrays


@runtime_checkable
class LoaderSettings(Protocol):
    """Fields of `loader.Line` that a stream uses; documented there."""

    @property
    def sources(self) -> Mapping[str, Any]: ...
    @property
    def tokenizer(self) -> Any: ...
    @property
    def resolution(self) -> int: ...
    @property
    def unique(self) -> Sequence[str]: ...
    @property
    def max_bad_share(self) -> float: ...
    @property
    def workers(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def prefetch(self) -> int: ...
    @property
    def cache_megabytes(self) -> int: ...
    @property
    def budget_megabytes(self) -> int | None: ...
    @property
    def num_views(self) -> int: ...
    @property
    def alternate(self) -> bool: ...
    def plan(self) -> Any: ...
    def frames_of_source(self, name: str) -> int: ...


class _Unique(grain.transforms.MapWithIndex):
    """Set the weight of repeated captions within a global batch to 0, across hosts."""

    def __init__(self, captions: Callable[[int], list[int]], views: int):
        self._captions, self._views = captions, views

    def map_with_index(self, index: int, batch: HostArrays) -> HostArrays:
        """Return the batch with updated weights; index is the step."""
        seen, weight = set(self._captions(index)), batch["weight"].copy()
        for place in range(0, len(weight), self._views):
            caption = int(batch["caption"][place])
            if caption == example.UNREAD:
                continue  # clips without a caption repeat none
            if caption in seen:
                weight[place : place + self._views] = 0.0
            seen.add(caption)
        return batch | {"weight": weight}


class _Captions:
    """Caption hashes of the lower-ranked hosts in a step, read from their records without decoding."""

    def __init__(
        self, homes: Sequence[Any], chosen: mixture.Alternate | mixture.Mixed, place: example.HostPlace
    ):
        self._homes, self._chosen, self._place = homes, chosen, place

    def __call__(self, step: int) -> list[int]:
        first = step * self._place.groups
        found = []
        for group in range(first, first + self._place.host * self._place.own):
            source, item = self._chosen.item(group)
            record = self._homes[source][item].record
            if record is not None:
                found.append(example.caption_hash(record.caption))
        return found


def _seed_of(*names: int | str) -> int:
    return int.from_bytes(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:8], "big") >> 1


@dataclasses.dataclass(frozen=True)
class Origin:
    """Origin of the examples of a batch: source, clips, frames and crop boxes.

    Args:
        sources: name of the source of each example.
        clips: int64 [b], index of the clip in its source.
        frames: int32 [b, t], sampled frame indices; -1 in a padding example.
        boxes: int32 [b, 5], top, left, height, width and mirrored flag; -1 in a padding example.
        reasons: reason why an example is a padding example; empty for a good one.
    """

    sources: list[str]
    clips: np.ndarray
    frames: np.ndarray
    boxes: np.ndarray
    reasons: list[str]

    @property
    def source(self) -> str:
        """Name of the source of the batch, or of its sources, joined by " + "."""
        return " + ".join(sorted(set(self.sources)))


class Stream:
    """Step-addressed batches of one training stage.

    Args (constructor): see Line.open.
    """

    def __init__(
        self, line: LoaderSettings, batch_size: int, steps: int, seed: int, position: int,
        cache: pathlib.Path, host: int = 0, hosts: int = 1,
    ):  # fmt: skip
        names = sorted(line.sources)
        self._place = place = _place_of(line, batch_size, host, hosts)
        encode = line.tokenizer.prepare(cache)
        datasets = []
        self.clips: dict[str, int] = {}
        for each in names:
            records = line.sources[each].open(cache)
            if not len(records):
                raise errors.UserError(f"source {each!r} is empty; add clips or remove the source")
            if "clips" in line.unique and len(records) < place.groups:
                raise errors.UserError(
                    f"source {each!r} has {len(records)} clips, fewer than the {place.groups} unique clips "
                    "of a batch; lower recipe.Stage.batch_size or remove 'clips' from loader.Line.unique"
                )
            self.clips[each] = len(records)
            named = example.Named(each, records, strict=line.max_bad_share == 0)
            shuffled = grain.MapDataset.source(named).seed(_seed_of(seed, position, each) % 2**32)
            datasets.append(shuffled.shuffle().repeat())
        self._plan = line.plan()
        chosen: mixture.Alternate | mixture.Mixed
        if line.alternate:
            totals = [self.clips[each] for each in names] if "clips" in line.unique else None
            chosen = mixture.Alternate(self._plan, place, max(1, steps), totals)
        else:
            chosen = mixture.Mixed(self._plan, place, max(1, steps), _seed_of(seed, position, "mixture"))
        self._names, self._chosen = names, chosen
        stream = grain.MapDataset.select_from_datasets(datasets, chosen)
        prepare = example.Prepare(line, encode, _seed_of(seed, position, "example"), place)
        items = stream.batch(place.own, drop_remainder=True, batch_fn=list)
        batches = items.map_with_index(prepare)
        if "captions" in line.unique:
            batches = batches.map_with_index(_Unique(_Captions(datasets, chosen, place), line.num_views))
        self._batches = batches
        self._line, self._words = line, encode.length
        self.vocabulary, self.steps, self.batch_size = encode.vocabulary, steps, batch_size
        # With mixed batches, a batch has no source of its own.
        self.source_of_step = [names[i] for i in self._plan.schedule(steps)[0]] if line.alternate else []
        self.bytes_in_flight = self._check_budget()

    def _check_budget(self) -> int:
        """Return the maximum bytes of prefetched batches and cached clips; raise if above the budget."""
        line = self._line
        frames = max(line.frames_of_source(each) for each in line.sources)
        clip = frames * line.resolution**2 * 3 + self._words * 8 + 4
        batch = clip * self._place.own * line.num_views
        # A worker holds the batches of its threads and those queued for the training process.
        batches = line.workers * 2 * line.prefetch if line.workers else line.prefetch
        total = (batches + 1) * batch + max(1, line.workers) * (line.cache_megabytes << 20)
        if line.budget_megabytes is not None and total > line.budget_megabytes << 20:
            ways = f"{line.workers} workers x 2 x {line.prefetch}" if line.workers else f"{line.prefetch}"
            raise errors.UserError(
                f"the loader would hold {total / 2**20:.0f} MiB: ({ways} + 1) batches of "
                f"{self._place.own * line.num_views} clips of {clip / 2**20:.2f} MiB, and "
                f"{max(1, line.workers)} x {line.cache_megabytes} MiB of cached clips; "
                f"loader.Line.budget_megabytes={line.budget_megabytes} allows less; lower workers, "
                "prefetch or cache_megabytes, or raise the budget"
            )
        return total

    def batch(self, step: int) -> HostArrays:
        """Return this host's part of the global batch of a step, independent of what was read before.

        Args:
            step: step, from 0.

        Returns:
            video uint8 [b, t, r, r, 3]; text_ids int32 [b, l]; text_paddings and weight float32.
        """
        return example.take_apart(self._batches[step])[0]

    def seen(self, step: int) -> tuple[HostArrays, Origin]:
        """Return this host's part of the batch of a step and the origin of its examples."""
        return self._apart(self._batches[step])

    def _apart(self, whole: HostArrays) -> tuple[HostArrays, Origin]:
        batch, origin = example.take_apart(whole)
        reasons = example.reasons(origin["fault"])
        homes = [self._names[index] for index in origin["home"].tolist()]
        return batch, Origin(homes, origin["clip"], origin["frames"], origin["box"], reasons)

    def mixture(self, step: int) -> dict[str, float]:
        """Return mixture statistics of the first `step` steps, for the log.

        Returns:
            For each source: "declared/<source>", expected number of batches by its weights;
            "batches/<source>", actual number; "repeats/<source>", mean number of examples per clip.
        """
        found: dict[str, float] = {}
        given = self._chosen.batches(step)
        for home, declared, batches in zip(self._plan.names, self._plan.declared(step), given):
            found[f"declared/{home}"] = float(declared)
            found[f"batches/{home}"] = float(batches)
            found[f"repeats/{home}"] = float(batches) * self.batch_size / self.clips[home]
        return found

    def read(self, start: int, ledger: ledger_module.Notes | None = None) -> Iterator[HostArrays]:
        """Iterate over the batches from a step to the end of the stage, prefetched by threads or workers.

        Args:
            start: first step; earlier batches are not read.
            ledger: log of bad clips, written before the batch that contains them is returned.

        Raises:
            UserError: more bad clips than loader.Line.max_bad_share allows.
        """
        if start >= self.steps:
            return iter(())
        return self._noted(start, iter(self._ahead(start)), ledger)

    def _noted(
        self, start: int, ahead: Iterator[HostArrays], ledger: ledger_module.Notes | None
    ) -> Iterator[HostArrays]:
        for step, whole in enumerate(ahead, start):
            batch, origin = self._apart(whole)
            if ledger is not None:
                _note(ledger, step, origin)
            yield batch

    def _ahead(self, start: int) -> Any:
        line = self._line
        options = grain.ReadOptions(num_threads=line.threads, prefetch_buffer_size=line.prefetch)
        ahead: Any = self._batches[start : self.steps].to_iter_dataset(options)
        if line.workers:
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()  # Grain's workers read absl flags, which are not parsed here
            ahead = ahead.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=line.workers, per_worker_buffer_size=line.prefetch)
            )
        return ahead


def _note(ledger: ledger_module.Notes, step: int, origin: Origin) -> None:
    """Log the bad clips of a batch, source by source."""
    for home in sorted(set(origin.sources)):
        rows = [row for row, source in enumerate(origin.sources) if source == home]
        ledger.note(step, home, origin.clips[rows].tolist(), [origin.reasons[row] for row in rows])


def _place_of(line: LoaderSettings, batch_size: int, host: int, hosts: int) -> example.HostPlace:
    if not 0 <= host < hosts:
        raise errors.UserError(f"expected a host of 0 to {hosts - 1}, got {host}")
    parts = hosts * line.num_views
    if batch_size < 1 or batch_size % parts:
        below = batch_size // parts * parts
        fits = " or ".join(str(size) for size in (below, below + parts) if size > 0)
        raise errors.UserError(
            f"recipe.Stage.batch_size={batch_size} cannot be split over {hosts} hosts with "
            f"loader.Line.num_views={line.num_views}; use {fits}"
        )
    return example.HostPlace(batch_size // line.num_views, host, hosts)
