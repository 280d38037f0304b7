"""What the tests of strict gin share: short ways to write a file, load it and read its faults."""

import pathlib

import gin_parts as parts
import pytest

from prismlab.core import errors
from prismlab.experiments.gin_strict import strict

HEAD = "from __gin__ import dynamic_registration\nimport gin_parts as parts\n"
GOOD = "parts.Experiment.stages = (@parts.Stage(),)\n"  # line 3
ROOTS = (parts.Ablation, parts.Experiment)


def write(text: str, name: str = "a.gin", head: str = HEAD) -> str:
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text(head + text, encoding="utf-8")
    return name


def load(text: str, *bindings: str, head: str = HEAD) -> strict.Loaded:
    return strict.load(write(text, head=head), bindings, roots=ROOTS)


def faults(text: str, *bindings: str, head: str = HEAD) -> list[str]:
    with pytest.raises(errors.UserError) as caught:
        load(text, *bindings, head=head)
    return str(caught.value).splitlines()
