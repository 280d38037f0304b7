"""Benchmark VideoPrism in prismlab against transformers: time, peak memory and agreement of the outputs.

    python -m prismlab.experiments.bench.encoder.encoder_speed [--peer-python PYTHON] [--rounds 3]

All models have the same random weights. Each runs in its own process and the processes alternate, so that
ratios are robust to noise; processor time (fastest run, all threads) is robust to other work as well.
Without torch and transformers (extra `peers`), only prismlab is measured. transformers does not support
`sdpa` for this model (it has no logit cap), so PyTorch runs in eager mode and with torch.compile. Ours
recomputes each layer in the backward pass; the second row of `backward` keeps all activations, as PyTorch
does. Memory is the peak resident size of the whole process, interpreter and libraries included; on a GPU,
it is the peak of the memory allocated on the device, and float32 products use TF32 everywhere. Differences
are relative to the largest value of each array, over all arrays that both have.
--official DIR adds the public Flax code: DIR holds `videoprism/` and a `base.py` with `build(dtype)`, which
returns the Flax module, and `params_from(path of an .npz)`.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import Any

import jax
import numpy as np
import rich.table

from prismlab.core import keys
from prismlab.core.nn import attention
from prismlab.core.weights import release_config, released
from prismlab.experiments import console
from prismlab.experiments.bench.encoder import program_memory

WORKER = pathlib.Path(__file__).with_name("encoder_worker.py")
GIB = 2**30


class Contestant:
    """Subprocess that runs one model.

    Args:
        python: path of the interpreter.
        job: configuration of the worker, see `encoder_worker`.
    """

    def __init__(self, python: str, job: dict[str, Any]):
        self.job = job
        self.seconds: list[float] = []
        self.processor: list[float] = []
        self.peak = 0
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        if job["who"] == "ours":
            added = os.environ.get("PYTHONPATH")
            environment["PYTHONPATH"] = os.pathsep.join([str(WORKER.parents[4]), *([added] if added else [])])
        self.process = subprocess.Popen(
            [python, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not job["loud"] else None,
            text=True,
            env=environment,
            encoding="utf-8",
        )
        self._tell(json.dumps(job))

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def start(self) -> None:
        """Start one run; `finish` waits for it."""
        with contextlib.suppress(BrokenPipeError):
            self._tell("run")

    def finish(self) -> float | None:
        """Return the seconds of the run, or None if the process exited (out of memory, missing package)."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return None
        answer = json.loads(line)
        self.peak = max(self.peak, answer["peak"])
        self.processor.append(answer["processor"])
        return answer["seconds"]

    def output(self) -> dict[str, np.ndarray]:
        """Return name -> array of the last run: the tokens, or the gradients."""
        with np.load(self.job["output"], allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def close(self) -> None:
        """Stop the process."""
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()


def _race(
    title: str, jobs: dict[str, dict[str, Any]], options: argparse.Namespace, out: rich.console.Console
) -> None:
    alive: dict[str, Contestant] = {}
    first: dict[str, float] = {}
    started: dict[str, Contestant] = {}

    def begin(name: str) -> Contestant:
        job = jobs[name]
        each = Contestant(options.peer_python if job["who"] == "peer" else sys.executable, job)
        each.start()  # compiles
        return each

    if options.together:
        started = {name: begin(name) for name in jobs}
    for name in jobs:
        each = started[name] if options.together else begin(name)
        seconds = each.finish()
        if seconds is None:
            console.say(out, f"{title}: {name} failed to run (missing packages or out of memory)")
            continue
        alive[name], first[name] = each, seconds
    for _ in range(options.rounds):
        for each in alive.values():
            each.start()
            seconds = each.finish()
            assert seconds is not None
            each.seconds.append(seconds)
    table = rich.table.Table(
        title,
        "first s",
        "median s",
        "fastest s",
        "time ratio",
        "processor s",
        "ratio",
        "peak GiB",
        "memory ratio",
        "largest difference",
        box=None,
    )
    base = next(iter(alive.values()), None)
    for name, each in alive.items():
        assert base is not None
        difference, compared = largest_difference(each.output(), base.output())
        median = statistics.median(each.seconds)
        table.add_row(
            name,
            f"{first[name]:.1f}",
            f"{median:.3f}",
            f"{min(each.seconds):.3f}",
            f"{median / statistics.median(base.seconds):.2f}",
            f"{min(each.processor[1:]):.1f}",
            f"{min(each.processor[1:]) / min(base.processor[1:]):.2f}",
            f"{each.peak / GIB:.2f}",
            f"{each.peak / base.peak:.2f}",
            f"{difference:.1e} of {compared}",
        )
    for each in alive.values():
        each.close()
    out.width = max(out.width, 140)
    out.print(table)


def largest_difference(own: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> tuple[float, int]:
    """Return the largest relative difference of the arrays that both have, and the number of these arrays.

    Args:
        own: name -> array; transformers keeps an axis of length 1.
        reference: name -> array; the difference of an array is relative to its largest value, but that of a
            key's bias to the query's: its gradient is a sum of terms of that size that cancel.
    """
    both = sorted(own.keys() & reference.keys())
    size = lambda name: np.abs(reference[name.replace("k_proj.bias", "q_proj.bias")]).max()
    found = [
        np.abs(own[name].reshape(reference[name].shape) - reference[name]).max()
        / max(size(name), np.finfo(np.float32).tiny)
        for name in both
    ]
    return float(max(found)), len(both)


def _tiny(name: str) -> release_config.ReleaseConfig:
    # Small sizes to test the benchmark itself; the timings are meaningless.
    return dataclasses.replace(
        release_config.checked(name),
        model_dim=32,
        num_heads=4,
        mlp_dim=128,
        pos_emb_shape=(4, 4, 4),
        num_spatial_layers=2,
        num_temporal_layers=1,
    )


def main() -> None:
    """Write random weights and run every model with them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter that has torch and transformers"
    )
    parser.add_argument("--official", metavar="DIR", help="also run the public Flax code, see above")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="number of PyTorch threads")
    parser.add_argument("--batch", type=int, default=1, help="batch size of the encoder in clips")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--dtypes", default="float32", help="comma-separated: float32, bfloat16")
    parser.add_argument(
        "--only", default="forward,backward,text", help="comma-separated: forward, backward, text"
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="compile all models at once (needs many cores; timing does not)",
    )
    parser.add_argument("--tiny", action="store_true", help="test the benchmark itself with a tiny model")
    parser.add_argument("--loud", action="store_true", help="show the stderr of the workers")
    options = parser.parse_args()
    out = console.make_console()
    # Name -> (model, batch size, pass). The backward pass of the text model with unchunked attention exceeds
    # the memory of most machines; program_memory reports its size without running it.
    races = {
        "forward": ("videoprism_public_v1_base", options.batch, "forward"),
        "backward": ("videoprism_public_v1_base", options.batch, "backward"),
        "text": ("videoprism_lvt_public_v1_base", 2, "forward"),
    }
    asked = options.only.split(",")
    if set(asked) - set(races):
        raise SystemExit(f"--only: expected some of {sorted(races)}, got {options.only}")
    with tempfile.TemporaryDirectory() as scratch:
        for race, dtype in itertools.product(asked, options.dtypes.split(",")):
            model, batch, way = races[race]
            config = _tiny(model) if options.tiny else release_config.checked(model)
            job = _prepared(pathlib.Path(scratch) / model, config, batch, options)
            job |= {"pass": way, "dtype": dtype}
            jobs = {"ours": job}
            if way == "backward":
                jobs["ours, activations kept"] = {**job, "remat": "none"}
            if race == "text":
                jobs["ours, matrix whole"] = {**job, "long": sys.maxsize}
            elif attention.fused_kernel_at_hand():
                jobs["ours, fused attention"] = {**job, "long": 1}
            if options.official and config.kind == "video_encoder":
                jobs["official Flax code"] = {**job, "who": "official"}
            jobs["transformers, eager"] = {**job, "who": "peer"}
            jobs["transformers, compiled"] = {**job, "who": "peer", "compile": True}
            for index, each in enumerate(jobs.values()):
                each["output"] = str(pathlib.Path(scratch) / f"{index}.npz")
            title = f"{config.kind} {way} {batch} x {options.frames}, {dtype}"
            _race(title, jobs, options, out)
    if "text" in asked and not options.tiny:
        program_memory.show("videoprism_lvt_public_v1_base", 2, options.frames, out)
    console.say(out, f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, jax {jax.__version__}")


def _prepared(
    folder: pathlib.Path, config: release_config.ReleaseConfig, batch: int, options: argparse.Namespace
) -> dict[str, Any]:
    # Write weights and clips once, and return the configuration that all workers share.
    weights, video, archive = folder / "model.safetensors", folder / "video.npy", folder / "model.npz"
    if not weights.exists():
        model = released.build(config, key=keys.seeded(0, "bench"))
        released.save(model, weights)
        if options.official:
            released.save(model, archive)
        side = config.resolution
        frames = config.frames if options.tiny else options.frames
        np.save(video, np.random.default_rng(0).random((batch, frames, side, side, 3), np.float32))
    return {
        "who": "ours",
        "config": config.plain(),
        "folder": str(folder),
        "weights": str(weights),
        "video": str(video),
        "long": None,
        "remat": released.REMAT,
        "official": options.official and os.path.abspath(options.official),
        "npz": str(archive),
        "compile": False,
        "threads": options.threads,
        "loud": options.loud,
    }


if __name__ == "__main__":
    main()
