"""A SLURM of one machine: stand-ins for its commands, which keep jobs as files, and a controller."""

import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import time

_COMMANDS = {
    "sbatch": """
lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
flags = dict(re.match(r"#SBATCH --([a-z-]+)=?(.*)", line).groups() for line in lines if "#SBATCH" in line)
number = str(len(list(jobs.glob("*.json"))) + 100)
last = re.match(r"0-(\\d+)", flags.get("array", ""))
for task in range(int(last[1]) + 1) if last else [None]:
    name = number if task is None else f"{number}_{task}"
    job = {"script": sys.argv[1], "flags": flags, "state": "PENDING", "starts": 0}
    job |= {"array": number, "task": task}
    (jobs / f"{name}.json").write_text(json.dumps(job))
print(f"Submitted batch job {number}")
""",
    "srun": """
words = sys.argv[sys.argv.index("--unbuffered") + 1:]
files = {}
while words[0] in ("--output", "--error"):
    files[words[0]] = words[1]
    words = words[2:]
for flag, number in (("--output", 1), ("--error", 2)):
    name = files[flag].replace("%t", "0")
    for sign, variable in (("%j", "JOB_ID"), ("%A", "ARRAY_JOB_ID"), ("%a", "ARRAY_TASK_ID")):
        name = name.replace(sign, os.environ.get(f"SLURM_{variable}", ""))
    os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
os.execvp(words[0], words)
""",
    "scontrol": """
assert sys.argv[1] == "requeue", sys.argv
(jobs / f"{sys.argv[2]}.requeue").touch()
""",
    "scancel": """
(jobs / "cancelled").write_text(" ".join(sys.argv[1:]))
""",
    "squeue": """
for path in sorted(jobs.glob("*.json")):
    print(path.stem, json.loads(path.read_text())["state"])
""",
}


class Slurm:
    """The cluster: `bin` belongs on PATH.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: pathlib.Path):
        self.bin, self.jobs = folder / "bin", folder / "jobs"
        self.running: dict[str, subprocess.Popen] = {}
        for each in (self.bin, self.jobs):
            each.mkdir(parents=True)
        for name, body in _COMMANDS.items():
            path = self.bin / name
            head = f"#!{sys.executable}\nimport json, os, pathlib, re, sys\n"
            head += f"jobs = pathlib.Path({str(self.jobs)!r})\n"
            path.write_text(head + body)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def states(self) -> dict[str, dict]:
        """Return job -> what is known of it."""
        return {path.stem: json.loads(path.read_text()) for path in sorted(self.jobs.glob("*.json"))}

    def warn(self, name: str) -> None:
        """Send what SLURM sends before the time limit, to the tasks of a job (not to its script)."""
        for each in _children(self.running[name].pid):
            os.kill(each, signal.SIGUSR2)

    def turn(self) -> bool:
        """Start, end, queue again and cancel jobs; return whether any is left."""
        states = self.states()
        for name, job in states.items():
            process = self.running.get(name)
            if process is not None and process.poll() is not None:
                del self.running[name]
                again = self.jobs / f"{name}.requeue"
                job["state"] = (
                    "PENDING" if again.exists() else ("FAILED" if process.returncode else "COMPLETED")
                )
                again.unlink(missing_ok=True)
            elif job["state"] == "PENDING":
                self._start(name, job, states)
            (self.jobs / f"{name}.json").write_text(json.dumps(job))
        return any(job["state"] in ("PENDING", "RUNNING") for job in states.values())

    def run(self, seconds: float = 120) -> dict[str, str]:
        """Run all jobs and return their states."""
        until = time.monotonic() + seconds
        while self.turn():
            assert time.monotonic() < until, self.states()
            time.sleep(0.05)
        return {name: job["state"] for name, job in self.states().items()}

    def _start(self, name: str, job: dict, states: dict[str, dict]) -> None:
        needs = re.findall(r"\d+(?:_\d+)?", job["flags"].get("dependency", ""))
        assert job["flags"].get("dependency", "afterok").startswith("afterok")
        needed = {states[each]["state"] for each in needs}
        if needed & {"FAILED", "CANCELLED"}:
            job["state"] = "CANCELLED"
        elif needed <= {"COMPLETED"}:
            added = {
                "SLURM_JOB_ID": name,
                "SLURM_PROCID": "0",
                "SLURM_NTASKS": "1",
                "SLURM_JOB_NODELIST": "here",
            }
            if job["task"] is not None:
                added |= {"SLURM_ARRAY_JOB_ID": job["array"], "SLURM_ARRAY_TASK_ID": str(job["task"])}
            job |= {"state": "RUNNING", "starts": job["starts"] + 1}
            self.running[name] = subprocess.Popen(["bash", job["script"]], env={**os.environ, **added})


def _children(process: int) -> list[int]:
    listed = pathlib.Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    return [int(each) for each in listed.split()]
