"""Stored bits of a stage: are its files and checkpoints still what its certificate says?"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from prismlab.core import errors, trees
from prismlab.core.io import filesystem
from prismlab.core.train.checkpoints import checkpoint, checkpoint_items, checksums, stage_folder
from prismlab.experiments.certificate import certify, contents, step_digests
from prismlab.experiments.recipe import describe

MOST = 3  # arrays of one line


@dataclasses.dataclass(frozen=True)
class Stored:
    """What was found in the folder of a stage.

    Args:
        faults: one line for each file and checkpoint that is damaged or was replaced.
        learners: step -> path -> array, of the undamaged checkpoints.
        is_log_sound: True if the event log is the one that was certified.
    """

    faults: tuple[str, ...]
    learners: Mapping[int, Mapping[str, np.ndarray]]
    is_log_sound: bool


def of_stage(folder: filesystem.Path, certificate: contents.Certificate) -> Stored:
    """Compare the files and checkpoints of a stage with its certificate.

    Args:
        folder: the stage's folder.
        certificate: of the stage.
    """
    faults, sound = [], {}
    files = {name: each for name, each in certificate.subjects.items() if "/" not in name}
    changed = {name for name, each in files.items() if not _is(folder / name, each)}
    faults += [f"{name} is not the file that was certified" for name in sorted(changed)]
    if not _has_inputs(folder, certificate.address):
        faults.append("stage.json does not hold the inputs that were certified")
    recorded = {each.step: each.parameters for each in certificate.steps if each.parameters}
    for at in checkpoint_items.steps(folder / "checkpoints"):
        try:
            items, meta = checkpoint_items.read_items(folder / "checkpoints", at, ("learner", "optimizer"))
        except errors.UserError as error:
            faults.append(f"checkpoint {at} cannot be read ({_in_short(error)})")
            continue
        wrong = damaged(items, meta.get(checkpoint.CHECKSUMS, {}))
        learner = items["learner"]
        if wrong:
            more = f" and {len(wrong) - MOST} more" if len(wrong) > MOST else ""
            faults.append(f"checkpoint {at}: flipped bits in {', '.join(wrong[:MOST])}{more}")
        elif recorded.get(at, step_digests.combined(checksums.of(learner))) != step_digests.combined(
            checksums.of(learner)
        ) or certificate.subjects.get(f"checkpoints/{at}/learner", "") not in ("", trees.digest(learner)):
            faults.append(f"checkpoint {at} is not the one that was certified")
        else:
            sound[at] = learner
    last = next((name.split("/")[1] for name in certificate.subjects if name.endswith("/learner")), "")
    if last.isdigit() and int(last) not in checkpoint_items.steps(folder / "checkpoints"):
        faults.append(f"checkpoint {last} is missing")
    return Stored(tuple(faults), sound, "events.jsonl" not in changed)


def damaged(
    items: Mapping[str, Mapping[str, np.ndarray]], sums: Mapping[str, Mapping[str, int]]
) -> list[str]:
    """Return the paths of arrays whose bits are not those of their checksums.

    Args:
        items: item -> path -> array.
        sums: item -> path -> checksum, as they were saved.
    """
    wrong = []
    for item, arrays in items.items():
        known, found = sums.get(item, {}), checksums.of(arrays)
        wrong += [f"{item}/{name}" for name in sorted(found) if known.get(name, found[name]) != found[name]]
    return wrong


def of_files(folder: filesystem.Path, certificate: contents.Certificate) -> list[str]:
    """Return one line for each certified file that is missing or has other bits.

    Args:
        folder: what the subjects of the certificate are relative to.
        certificate: of scores or of a table.
    """
    return [
        f"{name} is not the file that was certified"
        for name, digest in certificate.subjects.items()
        if "/" in name or not _is(folder / name, digest)  # a certificate names no file elsewhere
    ]


def _has_inputs(folder: filesystem.Path, address: str) -> bool:
    facts = stage_folder.json_if_sound(folder / "stage.json")
    try:
        return isinstance(facts, dict) and describe.address(facts.get("inputs")) == address
    except ValueError:  # numbers that JSON lacks
        return False


def _is(path: filesystem.Path, digest: str) -> bool:
    return path.is_file() and certify.digest_of(path) == digest


def _in_short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
