"""Ours against transformers' VideoPrism: time, memory and parity of one set of random weights, in one run.

    python -m prismlab.experiments.bench.encoder_speed [--peer-python PYTHON] [--rounds 3] [--only ...]

Contestants are processes that take turns, so that a noisy machine slows all of them alike: read the ratios.
Without torch and transformers (extra `peers`) at hand, ours run alone. transformers offers no `sdpa` for this
model (it has no logit cap), so PyTorch runs eager, and by torch.compile. Memory is the highest resident size
of the whole process: interpreter, libraries, weights and all.
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import rich.table

from prismlab.core import keys
from prismlab.core.weights import release_config, released
from prismlab.experiments import console
from prismlab.experiments.bench import program_memory

WORKER = pathlib.Path(__file__).with_name("encoder_worker.py")
GIB = 2**30


class Contestant:
    """A process that runs one model.

    Args:
        python: interpreter.
        job: what it is told, see `encoder_worker`.
    """

    def __init__(self, python: str, job: dict[str, Any]):
        self.job = job
        self.seconds: list[float] = []
        self.peak = 0
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        if job["who"] == "ours":
            environment["PYTHONPATH"] = str(WORKER.parents[3])
        self.process = subprocess.Popen(
            [python, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not job["loud"] else None,
            text=True,
            env=environment,
        )
        self._tell(json.dumps(job))

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def run(self) -> float | None:
        """Run once; return the seconds, or None when the process ended (out of memory, no such package)."""
        assert self.process.stdout is not None
        try:
            self._tell("run")
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return None
        answer = json.loads(line)
        self.peak = max(self.peak, answer["peak"])
        return answer["seconds"]

    def output(self) -> np.ndarray:
        """Return what the last run gave."""
        return np.load(self.job["output"])

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()


def _race(
    title: str, jobs: dict[str, dict[str, Any]], peer_python: str, rounds: int, out: rich.console.Console
) -> None:
    alive: dict[str, Contestant] = {}
    first: dict[str, float] = {}
    for name, job in jobs.items():
        each = Contestant(sys.executable if job["who"] == "ours" else peer_python, job)
        seconds = each.run()  # compiles
        if seconds is None:
            console.say(out, f"{title}: {name} did not run (its packages or its memory are missing)")
            continue
        alive[name], first[name] = each, seconds
    for _ in range(rounds):
        for each in alive.values():
            seconds = each.run()
            assert seconds is not None
            each.seconds.append(seconds)
    table = rich.table.Table(
        title,
        "first s",
        "median s",
        "fastest s",
        "time ratio",
        "peak GiB",
        "memory ratio",
        "largest difference",
        box=None,
    )
    base = next(iter(alive.values()), None)
    for name, each in alive.items():
        assert base is not None
        reference = base.output()
        own = each.output().reshape(reference.shape)  # transformers leaves an axis of length 1
        median = statistics.median(each.seconds)
        table.add_row(
            name,
            f"{first[name]:.1f}",
            f"{median:.2f}",
            f"{min(each.seconds):.2f}",
            f"{median / statistics.median(base.seconds):.2f}",
            f"{each.peak / GIB:.2f}",
            f"{each.peak / base.peak:.2f}",
            f"{np.abs(own - reference).max() / np.abs(reference).max():.1e}",
        )
    for each in alive.values():
        each.close()
    out.width = max(out.width, 140)
    out.print(table)


def _tiny(name: str) -> dict[str, Any]:
    # Sizes at which the bench itself can be tried: the numbers mean nothing.
    config = {**release_config.checked(name), "model_dim": 32, "num_heads": 4, "mlp_dim": 128}
    return config | {"pos_emb_shape": (4, 4, 4), "num_spatial_layers": 2, "num_temporal_layers": 1}


def main() -> None:
    """Write random weights once and let everybody run them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter that has torch and transformers"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of PyTorch")
    parser.add_argument("--batch", type=int, default=1, help="clips, for the encoder")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--dtypes", default="float32", help="float32,bfloat16")
    parser.add_argument("--only", default="forward,backward,text", help="which races, with commas between")
    parser.add_argument("--tiny", action="store_true", help="try the bench itself in a minute")
    parser.add_argument("--loud", action="store_true", help="show what the contestants print")
    options = parser.parse_args()
    out = console.make_console()
    # Race -> model, clips, pass. Backwards, the matrix whole would need more memory than most machines have:
    # program_memory tells how much without running it.
    races = {
        "forward": ("videoprism_public_v1_base", options.batch, "forward"),
        "backward": ("videoprism_public_v1_base", options.batch, "backward"),
        "text": ("videoprism_lvt_public_v1_base", 2, "forward"),
    }
    asked = options.only.split(",")
    if set(asked) - set(races):
        raise SystemExit(f"--only: wanted some of {sorted(races)}, got {options.only}")
    with tempfile.TemporaryDirectory() as scratch:
        for race, dtype in itertools.product(asked, options.dtypes.split(",")):
            model, batch, way = races[race]
            config = _tiny(model) if options.tiny else release_config.checked(model)
            job = _prepared(pathlib.Path(scratch) / model, config, batch, options)
            job |= {"pass": way, "dtype": dtype}
            jobs = {"ours": job}
            if race == "text":
                jobs["ours, matrix whole"] = {**job, "whole": True}
            jobs["transformers, eager"] = {**job, "who": "peer"}
            jobs["transformers, compiled"] = {**job, "who": "peer", "compile": True}
            for index, each in enumerate(jobs.values()):
                each["output"] = str(pathlib.Path(scratch) / f"{index}.npy")
            title = f"{config['kind']} {way} {batch} x {options.frames}, {dtype}"
            _race(title, jobs, options.peer_python, options.rounds, out)
    if "text" in asked and not options.tiny:
        program_memory.show("videoprism_lvt_public_v1_base", 2, options.frames, out)
    console.say(out, f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, jax {jax.__version__}")


def _prepared(
    folder: pathlib.Path, config: Mapping[str, Any], batch: int, options: argparse.Namespace
) -> dict[str, Any]:
    # Weights and clips on disk, once for all contestants; what every job has in common.
    weights, video = folder / "model.safetensors", folder / "video.npy"
    if not weights.exists():
        released.save(released.build(config, key=keys.seeded(0, "bench")), weights)
        side = config["pos_emb_shape"][1] * config["patch_size"]
        frames = config["pos_emb_shape"][0] if options.tiny else options.frames
        np.save(video, np.random.default_rng(0).random((batch, frames, side, side, 3), np.float32))
    return {
        "who": "ours",
        "config": dict(config),
        "folder": str(folder),
        "weights": str(weights),
        "video": str(video),
        "whole": False,
        "compile": False,
        "threads": options.threads,
        "loud": options.loud,
    }


if __name__ == "__main__":
    main()
