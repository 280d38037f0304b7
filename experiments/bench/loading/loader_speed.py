"""Benchmark the data loader against bare decoding, and against PyTorch's DataLoader.

    python -m prismlab.experiments.bench.loading.loader_speed  # loader / bare decoder
    python -m prismlab.experiments.bench.loading.loader_speed --peer-python PATH  # decord2 too
    python -m prismlab.experiments.bench.loading.loader_speed --memory 10000  # memory, by batches
    python -m prismlab.experiments.bench.loading.loader_speed --wait WORKDIR  # waits of a run

Variants alternate in one run, so that ratios are robust to noise. Threads share caches and memory, so a
loader with several threads is compared with as many bare decoders; all others with one. Clips per second are
per second of processor time (user and system, including worker processes and their start), i.e. per core.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import io
import itertools
import os
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rich.table
from PIL import Image

from prismlab.core import allocator as allocator
from prismlab.core.events import event_log
from prismlab.data.loader import loader, source, tokenizer
from prismlab.data.records import record, shards
from prismlab.data.video import decode, frames, sampling
from prismlab.data.world import world
from prismlab.experiments import console

FRAMES = 8


def jpeg_shards(whole: shards.ShardReader, directory: pathlib.Path) -> None:
    """Write the same clips with one JPEG (quality 90) per frame."""

    def packed(index: int) -> record.Record:
        pictures = []
        for frame in decode.decode(whole[index].video):
            Image.fromarray(frame).save(held := io.BytesIO(), "JPEG", quality=90)
            pictures.append(held.getvalue())
        return record.of_frames(whole[index].key, pictures, whole[index].caption)

    shards.write_shards(map(packed, range(len(whole))), directory)


def processor_seconds() -> float:
    """Return the processor time of this process and its terminated children, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measured(run: Callable[[], int]) -> tuple[float, float]:
    """Return clips per second of processor time and of wall-clock time."""
    start, began = processor_seconds(), time.perf_counter()
    clips = run()
    return clips / (processor_seconds() - start), clips / (time.perf_counter() - began)


def bare(home: Any, clips: int, side: int) -> int:
    """Decode clips, sample frames and resize them sequentially, without a loader."""
    records, random = home.open(pathlib.Path()), np.random.default_rng(0)  # same frame sampling as the loader
    for index in range(clips):
        found = records[index % len(records)]
        assert found.frame_count is not None  # set for all clips compared below
        video = frames.decode(found, sampling.segments(found.frame_count, FRAMES, random).tolist())
        sampling.centre(video, side)
    return clips


def bare_threads(home: Any, clips: int, side: int, threads: int) -> int:
    """Decode clips in several threads without a loader: the upper bound for a multithreaded loader."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda _: bare(home, clips // threads, side), range(threads)))


def loaded(line: loader.Line, clips: int, batch: int, cache: pathlib.Path) -> Callable[[], int]:
    """Open the loader, and return a function that reads clips from it; opening is not timed."""
    stream = line.open(batch, clips // batch, 0, 0, cache)
    return lambda: sum(len(each["weight"]) for each in stream.read(0))


def compare(options: argparse.Namespace, cache: pathlib.Path) -> None:
    """Print clips per second of each variant and its ratio to the bare decoder."""
    made: Any = source.Rendered(
        world.World(clips=options.clips, resolution=options.side, frames=options.length),
        workers=options.workers or 1,
    )
    whole = made.open(cache)
    jpeg = cache / "jpeg"
    jpeg_shards(whole, jpeg)
    words = tokenizer.Tokenizer((made,), vocabulary=128, length=16)
    kinds: dict[str, Any] = {"MP4": source.Shards(str(whole.directory)), "JPEG": source.Shards(str(jpeg))}
    ways: dict[tuple[str, str], Callable[[], int]] = {}
    against: dict[tuple[str, str], tuple[str, str]] = {}  # loader -> baseline with the same number of threads
    reads = options.reads // options.batch * options.batch
    for kind, home in kinds.items():
        line = loader.Line({kind: home}, words, frames=FRAMES, resolution=options.side, threads=1)
        ways[kind, "bare decoder"] = functools.partial(bare, home, reads, options.side)
        ways[kind, "loader, 1 thread"] = loaded(line, reads, options.batch, cache)
        for count in [options.workers] * (options.workers > 0):
            threads, processes = (
                dataclasses.replace(line, threads=count),
                dataclasses.replace(line, workers=count),
            )
            equal = kind, f"bare decoder, {count} threads"
            ways[equal] = functools.partial(bare_threads, home, reads, options.side, count)
            against[kind, f"loader, {count} threads"] = equal
            ways[kind, f"loader, {count} threads"] = loaded(threads, reads, options.batch, cache)
            ways[kind, f"loader, {count} processes"] = loaded(processes, reads, options.batch, cache)
        views = dataclasses.replace(line, num_views=4)
        ways[kind, "loader, 4 views a decode"] = loaded(views, reads, options.batch, cache)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {way: [] for way in ways}
    for way, run in ways.items():
        run() if "processes" not in way[1] else None  # warm up the page cache and imports
    for _ in range(options.repeats):
        for way, run in ways.items():
            found[way].append(measured(run))
    table = rich.table.Table("clips", "way", "clips/s and core", "of bare", "clips/s of wall clock", box=None)
    for (kind, name), pairs in found.items():
        ratio = statistics.median(
            one / other
            for (one, _), (other, _) in zip(pairs, found[against.get((kind, name), (kind, "bare decoder"))])
        )
        core, wall = (statistics.median(values) for values in zip(*pairs))
        table.add_row(kind, name, f"{core:.0f}", f"{ratio:.2f}", f"{wall:.0f}")
    console.make_console().print(table)
    if options.peer_python:
        peer(options, whole, cache)


def peer(options: argparse.Namespace, whole: shards.ShardReader, cache: pathlib.Path) -> None:
    """Time the same MP4 clips with PyTorch's DataLoader and decord2 in worker processes."""
    folder = cache / "peer"
    folder.mkdir()
    for index in range(len(whole)):
        (folder / f"{index:06d}.mp4").write_bytes(whole[index].video)
    home: Any = source.Shards(str(whole.directory))
    words = tokenizer.Tokenizer((home,), vocabulary=128, length=16)
    line = loader.Line({"MP4": home}, words, frames=FRAMES, resolution=options.side, threads=1)
    reads = options.reads // options.batch * options.batch
    command = [options.peer_python, str(pathlib.Path(__file__).with_name("loader_peer.py")), str(folder),
               str(options.side), str(FRAMES), str(options.batch), str(reads)]  # fmt: skip
    table = rich.table.Table("ours", "peer", "ours clips/s", "peer clips/s", "ours / peer", box=None)
    count = options.workers
    ways = [("1 thread", line, 0)]
    if count:
        ways.append((f"{count} threads", dataclasses.replace(line, threads=count), count))
        ways.append((f"{count} processes", dataclasses.replace(line, workers=count), count))
    for name, way, workers in ways:
        pairs = []
        for _ in range(options.repeats):
            stream = way.open(options.batch, reads // options.batch, 0, 0, cache).read(0)
            next(stream)  # start both timings after the first batch, to exclude worker startup
            start = time.perf_counter()
            ours = sum(len(each["weight"]) for each in stream) / (time.perf_counter() - start)
            done = subprocess.run(
                [*command, str(workers)], capture_output=True, text=True, check=True, encoding="utf-8"
            )
            pairs.append((ours, float(done.stdout)))
        ratio = statistics.median(one / other for one, other in pairs)
        ours, theirs = (statistics.median(values) for values in zip(*pairs))
        table.add_row(name, f"{workers} workers", f"{ours:.0f}", f"{theirs:.0f}", f"{ratio:.2f}")
    console.make_console().print(table)


def memory(options: argparse.Namespace, cache: pathlib.Path) -> None:
    """Print the resident memory of the process while reading batches."""
    made: Any = source.Rendered(world.World(clips=64, resolution=16, frames=4), workers=0)
    words = tokenizer.Tokenizer((made,), vocabulary=64, length=8)
    line = loader.Line({"one": made}, words, frames=2, resolution=16, workers=options.workers)
    stream = line.open(4, options.memory, 0, 0, cache)
    page = os.sysconf("SC_PAGE_SIZE")
    for number, _ in enumerate(stream.read(0), 1):
        if number % max(1, options.memory // 10) == 0:
            pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
            print(f"batch {number}: {pages * page / 2**20:.1f} MiB", flush=True)


def wait(workdir: pathlib.Path, skip: int = 20) -> None:
    """Print the fraction of time that each stage waited for data, after the first `skip` steps."""
    table = rich.table.Table("stage", "steps", "waited for data", "worst line", box=None)
    for path in sorted(workdir.glob("stages/*/events.jsonl")):
        logged = [each for each in event_log.read(path) if each["kind"] == "train"]
        later = [(a, b) for a, b in itertools.pairwise(logged) if a["step"] >= skip]
        if later:
            spans = np.asarray([b["time"] - a["time"] for a, b in later])
            shares = np.asarray([b["data_wait"] for _, b in later])
            mean = float((spans * shares).sum() / max(spans.sum(), 1e-9))
            table.add_row(path.parent.name, str(logged[-1]["step"]), f"{mean:.2%}", f"{shares.max():.2%}")
    console.make_console().print(table)


def main() -> None:
    """Parse the options and run the selected mode."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--clips", type=int, default=96, help="number of rendered clips; Grain is slow to shuffle very few"
    )
    parser.add_argument("--reads", type=int, default=96, help="clips read per variant and repeat")
    parser.add_argument("--side", type=int, default=288, help="side of a frame in pixels; 288 in the paper")
    parser.add_argument("--length", type=int, default=96, help="frames of a clip; 8 are sampled")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-python", help="interpreter of an environment with torch and decord2")
    parser.add_argument("--memory", type=int, metavar="BATCHES")
    parser.add_argument("--wait", type=pathlib.Path, metavar="WORKDIR")
    options = parser.parse_args()
    allocator.keep_freed()  # as in `prismlab train`
    if options.wait:
        wait(options.wait)
        return
    with tempfile.TemporaryDirectory() as cache:
        (memory if options.memory else compare)(options, pathlib.Path(cache))


if __name__ == "__main__":
    main()
