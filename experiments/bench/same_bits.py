"""Regression check: write parameter digests, scores and batch checksums of three shortened shipped recipes.

Run it before and after a change that must not alter results, each with its own cache directory, and compare:

    python -m prismlab.experiments.bench.same_bits OUT.json [COMMAND ...]

COMMAND starts the command line under test (default: `prismlab` on PATH).
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

SHORT = (
    "CLEAN_CLIPS=400",
    "SPEECH_CLIPS=200",
    "TEST_CLIPS=128",
    "probe.AttentiveProbe.train_clips=200",
    "probe.AttentiveProbe.steps=40",
    "retrieval.Retrieval.clips=100",
    "STAGE1_STEPS=12",
    "STAGE2_STEPS=12",
    "CONTINUED_STEPS=12",
    "LIT_STEPS=12",
    "stage1/optim.Schedule.warmup_steps=2",
    "stage2/optim.Schedule.warmup_steps=2",
)
RUNS = {
    "smoke.gin": (),
    "quickstart.gin": SHORT,
    "reproduce_small.gin": (
        *SHORT,
        "JOINT_STEPS=12",
        "part/world.World.clips=100",
        "recipe.Ablation.seeds=(3,)",
    ),
}
STAGES = {
    "smoke.gin": ("stage1", "stage2"),
    "quickstart.gin": ("stage1", "continued", "stage2", "lit"),
    "reproduce_small.gin": ("stage1", "joint", "stage2", "lit"),
}


def main() -> None:
    """Run the recipes and write their results."""
    out, command = pathlib.Path(sys.argv[1]), sys.argv[2:] or ["prismlab"]
    found = {}
    for name, bindings in RUNS.items():
        with tempfile.TemporaryDirectory() as workdir:
            run(command, "ablate", name, *bindings, "--workdir", workdir)
            # Remove addresses, which depend on module paths.
            lines = run(command, "digest", workdir).splitlines()
            digests = sorted(re.sub(r"(-s\d+)-[0-9a-f]{16}", r"\1", line) for line in lines)
            results = json.loads((pathlib.Path(workdir) / "results.json").read_text(encoding="utf-8"))
            scores = {f"{each['label']} s{each['seed']}": each["metrics"] for each in results}
            checksums = {}
            for stage in STAGES[name]:
                for step in ("0", "5"):
                    shown = run(
                        command, "data", "show", name, *bindings, "--stage", stage, "--step", step,
                        "--out", f"{workdir}/show",
                    )  # fmt: skip
                    checksums[f"{stage} step {step}"] = re.findall(r"checksum (\w+)", shown)[0]
        found[name] = {"digests": digests, "checksums": checksums, "scores": scores}
    out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def run(command: list[str], *arguments: str) -> str:
    """Return the stdout of a command; exit if it fails."""
    done = subprocess.run(
        [*command, *arguments], stdout=subprocess.PIPE, text=True, check=False, encoding="utf-8"
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} exited with code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
