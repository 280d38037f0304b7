"""Whether the table and pages of a work directory are those of its rows, so that a run has nothing to do.

`reported.json` holds a key of all that the pages depend on, and the sizes and times of the files that were
read and written. A file that was changed, removed or written again makes the pages again.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from prismlab.core import code_fingerprint
from prismlab.core.io import filesystem
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import code_memory, stages
from prismlab.experiments.statistics import results_table
from prismlab.experiments.store import store, work_directory

FILE = "reported.json"
_WRITTEN = ("results.json", "table.json", "report.md", "report.html", "certificate.json")
_READ = ("events.jsonl", "certificate.json")  # of each stage
_WRITES = (
    "prismlab.experiments.results.clip_pictures",
    "prismlab.experiments.run.finished_rows",
    "prismlab.experiments.run.rows",
    "prismlab.experiments.results.gather",
)
_PACKAGES = ("jinja2", "matplotlib", "numpy", "scipy")


def current(
    kept: store.Store, lines: Sequence[stages.Line], root: Any, text: str, cache: pathlib.Path
) -> results_table.Table | None:
    """Return the table of a work directory if nothing of it would change, else None.

    Args:
        kept: the store of the work directory; a bucket has no such times, and its pages are made again.
        lines: rows and seeds of the run.
        root: the Experiment or Ablation.
        text: the configuration as flat gin.
        cache: directory shared by runs.
    """
    if not _is_local(kept):
        return None
    before = stage_folder.json_if_sound(kept.workdir / FILE)
    if before is None or before != _state(kept, lines, root, text, cache):
        return None
    return results_table.read_table(kept.workdir / "table.json")


def note(kept: store.Store, lines: Sequence[stages.Line], root: Any, text: str, cache: pathlib.Path) -> None:
    """Record that the table and pages were written of these rows; see `current`."""
    if _is_local(kept):
        work_directory.record(kept.workdir / FILE, _state(kept, lines, root, text, cache))


def _is_local(kept: store.Store) -> bool:
    return not filesystem.is_remote(kept.home) and not filesystem.is_remote(kept.workdir)


def _state(
    kept: store.Store, lines: Sequence[stages.Line], root: Any, text: str, cache: pathlib.Path
) -> dict[str, Any]:
    addresses = [
        [line.label, line.seed, [each.address for each in line.stages],
         [[each.name, each.address] for each in line.evaluations]]
        for line in lines
    ]  # fmt: skip
    with code_memory.kept(cache):
        code = code_fingerprint.closure(_WRITES)
    templates = pathlib.Path(__file__).parents[1] / "html"
    pages = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(templates.iterdir())}
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    key = [addresses, describe.describe(root), text, os.fspath(kept.home), code, pages, versions]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return {"key": digest, "files": {os.fspath(path): _mark(path) for path in _files(kept, lines)}}


def _files(kept: store.Store, lines: Sequence[stages.Line]) -> Iterable[filesystem.Path]:
    found = [kept.workdir / name for name in _WRITTEN]
    for line in lines:
        for each in line.stages:
            folder = kept.stage_folder(each.address, each.folder)
            found += [folder / name for name in _READ]
        found += [kept.score_path(each.address) for each in line.evaluations]
    return dict.fromkeys(found)


def _mark(path: filesystem.Path) -> list[int] | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
