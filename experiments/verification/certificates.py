"""Certificates of a stage, of scores or of a whole work directory, found by path."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments.certificate import certify, contents, differences, statement
from prismlab.experiments.statistics import results_table
from prismlab.experiments.store import store

MOST_RESULTS = 20_000


@dataclasses.dataclass(frozen=True)
class Found:
    """Certificates below a path.

    Args:
        stages: folders of stages.
        scores: files of scores.
        table: the certificate of the table, or None.
    """

    stages: tuple[filesystem.Path, ...] = ()
    scores: tuple[filesystem.Path, ...] = ()
    table: filesystem.Path | None = None


def below(path: filesystem.Path) -> Found:
    """Return what can be certified at a path.

    Args:
        path: folder of a stage, scores/<address>.json or its certificate, or work directory. Of a work
            directory that is a view of a store, only the stages and scores of its table are taken.

    Raises:
        UserError: it is none of these.
    """
    if path.suffix in (".json", certify.SUFFIX) and path.is_file():
        return Found(scores=(path.with_suffix(".json"),))
    if (path / "stage.json").is_file():
        return Found(stages=(path,))
    if not path.is_dir():
        raise errors.UserError(f"{path}: expected a stage's folder, a file of scores or a work directory")
    kept = store.of(path)
    stages = sorted(each for each in (kept.home / "stages").glob("*") if (each / "stage.json").is_file())
    scores = sorted((kept.home / "scores").glob("*.json"))
    if kept.is_shared and (path / "results.json").is_file():
        results = results_table.read_results(path / "results.json")
        names = {folder for entry in results for folder in entry.stages}
        keys = {score.items.address for entry in results for score in entry.metrics.values() if score.items}
        stages = [each for each in stages if each.name in names]
        scores = [each for each in scores if each.stem in keys]
    table = path / statement.NAME
    found = Found(
        tuple(stages[:MOST_RESULTS]), tuple(scores[:MOST_RESULTS]), table if table.is_file() else None
    )
    if not found.stages and not found.scores:
        raise errors.UserError(f"{path} holds no stage and no scores; pass the --workdir of train or ablate")
    return found


def read(path: filesystem.Path) -> Iterator[contents.Certificate]:
    """Yield the certificates at a path; results of earlier versions, which have none, are skipped.

    Args:
        path: see `below`.

    Raises:
        UserError: a certificate is damaged, or there is none at all.
    """
    found = below(path)
    files = [each / statement.NAME for each in found.stages] + [certify.beside(each) for each in found.scores]
    files += [found.table] if found.table is not None else []
    known = [each for each in files if each.is_file()]
    if not known:
        raise errors.UserError(
            f"{path} has no certificate; earlier versions wrote none: run its command again with this one"
        )
    for each in known:
        yield statement.read(each)


def cores(path: filesystem.Path) -> set[int]:
    """Return on how many cores the stages at a path were trained, those on a CPU whose certificate is sound.

    Args:
        path: see `below`.
    """
    found = set()
    for folder in below(path).stages:
        with contextlib.suppress(errors.UserError):
            environment = statement.read(folder).environment
            if environment.device == "cpu":
                found.add(environment.cores)
    return found


def difference(first: filesystem.Path, second: filesystem.Path) -> list[str]:
    """Return what differs between the results at two paths, in a few lines.

    Args:
        first, second: see `below`. Results of two work directories are matched by kind, name and seed.

    Raises:
        UserError: see `read`.
    """
    one, two = list(read(first)), list(read(second))
    if len(one) == len(two) == 1:
        lines = differences.grouped(("", each) for each in differences.of(one[0], two[0]))
        return lines or [_equal(one[0], two[0])]
    a, b = _by_key(one), _by_key(two)
    lines = [f"only in {path}: {_names(key for key in here if key not in there)}"
             for path, here, there in ((first, a, b), (second, b, a)) if set(here) - set(there)]  # fmt: skip
    found = [(_shown(key), each) for key in a if key in b for each in _nearest(a[key], b[key])]
    return lines + differences.grouped(found) or ["nothing differs"]


def _by_key(given: list[contents.Certificate]) -> dict[tuple[str, str, str], list[contents.Certificate]]:
    found: dict[tuple[str, str, str], list[contents.Certificate]] = {}
    for each in given:
        found.setdefault(_key(each), []).append(each)
    return found


def _nearest(
    one: list[contents.Certificate], two: list[contents.Certificate]
) -> list[differences.Difference]:
    """Return the differences of results of one name and seed: rows may have several of them.

    Each result is compared with the one that differs in the fewest points; equal ones are not compared.
    """
    known = {each.address for each in one} & {each.address for each in two}
    left = [each for each in two if each.address not in known] or two
    found: list[differences.Difference] = []
    for each in one:
        if each.address and each.address in known:
            other = next(item for item in two if item.address == each.address)
            found += differences.of(each, other)
        elif left:
            nearest, *others = [differences.of(each, other) for other in left]
            for candidate in others:
                nearest = candidate if len(candidate) < len(nearest) else nearest
            found += nearest
    return found


def _equal(a: contents.Certificate, b: contents.Certificate) -> str:
    return "nothing differs" if dict(a.subjects) == dict(b.subjects) else "nothing differs but the numbers"


def _key(each: contents.Certificate) -> tuple[str, str, str]:
    return each.kind, each.name, f"{each.notes.get('stage', '')} {each.notes.get('seed', '')}".strip()


def _shown(key: tuple[str, str, str]) -> str:
    return f"{key[1]} {key[2]}".strip() if key[0] != "table" else "table"


def _names(keys: Iterable[tuple[str, str, str]]) -> str:
    names = [_shown(key) for key in keys]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
