"""The certificate as a file: an unsigned in-toto Statement with an SLSA provenance, read as hostile.

subject                                     name and digest of what is certified
predicate.buildDefinition.externalParameters    configuration, seed, bindings and where each was written
predicate.buildDefinition.internalParameters    environment (`environment.Environment`)
predicate.buildDefinition.resolvedDependencies  commit, lock, modules, data and parents, each with a digest
predicate.runDetails.byproducts                 digests of steps, attempts, clips seen, FLOPs
"""

import dataclasses
import datetime
import json
import math
from collections.abc import Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json, filesystem
from prismlab.core.parallel import distributed
from prismlab.experiments.certificate import contents, environment, shareable

NAME = "certificate.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILDS = {kind: f"urn:prismlab:{kind}:1" for kind in ("stage", "score", "table")}
LARGEST = 16 << 20  # bytes of a certificate
MOST_BINDINGS, MOST_ATTEMPTS = 5000, 200
_ADVICE = "it is written again when its stage, score or table is"


def write(certificate: contents.Certificate, path: filesystem.Path) -> None:
    """Write a certificate atomically, in process 0 only.

    Args:
        certificate: the certificate.
        path: its file.

    Raises:
        UserError: the disk is full or the file cannot be written.
    """
    if distributed.is_main():
        content = checked_json.sealed(as_statement(certificate))
        filesystem.write_atomic(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def as_statement(certificate: contents.Certificate) -> dict[str, Any]:
    """Return a certificate as an in-toto Statement."""
    plain = _plain(dataclasses.asdict(certificate))
    inputs = shareable.tree(plain["inputs"])
    source = plain["source"]
    needs: list[dict[str, Any]] = [
        {
            "name": "source code",
            "digest": {"gitCommit": source["commit"]} if source["commit"] else {},
            "annotations": {"changes": source["changes"], "untracked": source["untracked"]},
        }
    ]
    if source["lock"]:
        needs.append({"name": "requirements.lock", "digest": {"sha256": source["lock"]}})
    for part in ("code", "data"):
        needs += [{"name": f"{part} {name}", "digest": {"content": str(each)}}
                  for name, each in inputs.pop(part, {}).items()]  # fmt: skip
    needs += [
        {"name": f"parent {name}", "digest": {"address": each}} for name, each in plain["parents"].items()
    ]
    began = [each["began"] for each in plain["attempts"]]
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": each}} for name, each in plain["subjects"].items()],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILDS[certificate.kind],
                "externalParameters": {
                    "name": certificate.name, "address": certificate.address, "recipe": certificate.recipe,
                    "inputs": inputs, "bindings": plain["bindings"][:MOST_BINDINGS],
                },
                "internalParameters": plain["environment"],
                "resolvedDependencies": needs,
            },
            "runDetails": {
                "builder": {"id": "urn:prismlab"},
                "metadata": {"startedOn": _date(min(began))} if began else {},
                "byproducts": [
                    {"name": "steps", "annotations": {"every": plain["every"], "steps": plain["steps"]}},
                    {"name": "attempts", "annotations": {"attempts": plain["attempts"][-MOST_ATTEMPTS:]}},
                    {"name": "cost", "annotations": plain["cost"]},
                    {"name": "notes", "annotations": shareable.tree(plain["notes"])},
                ],
            },
        },
    }  # fmt: skip


def _date(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: Any) -> Any:
    """Return data without tuples, without None in step digests, and without numbers that JSON lacks."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read(path: filesystem.Path) -> contents.Certificate:
    """Read a certificate, which may come from a stranger.

    Args:
        path: the file, or the folder that holds `certificate.json`.

    Raises:
        UserError: it is missing, too large, damaged, or no certificate.
    """
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        raise errors.UserError(
            f"{path} has no {NAME}; expected a stage, score or table of this version; {_ADVICE}"
        )
    filesystem.read(file, LARGEST)
    value = checked_json.load(file, _ADVICE)
    try:
        return _parsed(value)
    except (checked_json.Invalid, KeyError, TypeError, AttributeError) as error:
        raise errors.UserError(f"{file} is no certificate of this version ({error}); {_ADVICE}") from None


@dataclasses.dataclass(frozen=True)
class _Resource:
    name: str
    digest: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Any = None


@dataclasses.dataclass(frozen=True)
class _Parameters:
    name: str
    address: str
    recipe: str
    inputs: Mapping[str, Any]
    bindings: tuple[contents.Binding, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Build:
    buildType: str
    externalParameters: _Parameters
    internalParameters: environment.Environment
    resolvedDependencies: tuple[_Resource, ...]


@dataclasses.dataclass(frozen=True)
class _Run:
    byproducts: tuple[_Resource, ...]


@dataclasses.dataclass(frozen=True)
class _Predicate:
    buildDefinition: _Build
    runDetails: _Run


@dataclasses.dataclass(frozen=True)
class _Statement:
    subject: tuple[_Resource, ...]
    predicateType: str
    predicate: _Predicate


@dataclasses.dataclass(frozen=True)
class _Steps:
    every: int
    steps: tuple[contents.StepDigest, ...]


@dataclasses.dataclass(frozen=True)
class _Attempts:
    attempts: tuple[contents.Attempt, ...]


def _parsed(value: Any) -> contents.Certificate:
    whole: _Statement = checked_json.parse(_Statement, value)
    build = whole.predicate.buildDefinition
    kinds = {uri: kind for kind, uri in BUILDS.items()}
    if whole.predicateType != PREDICATE or build.buildType not in kinds:
        raise checked_json.Invalid(f"expected one of {list(kinds)} as buildType, found {build.buildType!r}")
    beside = {each.name: each.annotations for each in whole.predicate.runDetails.byproducts}
    needs = {each.name: each for each in build.resolvedDependencies}
    steps: _Steps = checked_json.parse(_Steps, beside["steps"], "steps")
    tried: _Attempts = checked_json.parse(_Attempts, beside["attempts"], "attempts")
    code = needs["source code"]
    changes, untracked = code.annotations["changes"], code.annotations["untracked"]
    lock = needs.get("requirements.lock")
    given = build.externalParameters
    inputs = dict(given.inputs) | {
        part: {name.partition(" ")[2]: each.digest.get("content", "") for name, each in needs.items()
               if name.startswith(f"{part} ")} for part in ("code", "data")
    }  # fmt: skip
    return contents.Certificate(
        kinds[build.buildType], given.name, {each.name: each.digest["sha256"] for each in whole.subject},
        given.address, inputs, build.internalParameters,
        checked_json.parse(environment.Source, {
            "commit": code.digest.get("gitCommit"), "changes": changes, "untracked": untracked,
            "lock": lock.digest["sha256"] if lock else None,
        }, "source"),
        given.recipe, given.bindings,
        {name.partition(" ")[2]: each.digest.get("address", "") for name, each in needs.items()
         if name.startswith("parent ")},
        steps.steps, steps.every, tried.attempts, checked_json.parse(contents.Cost, beside["cost"], "cost"),
        checked_json.parse(Mapping[str, Any], beside.get("notes") or {}, "notes"),
    )  # fmt: skip
