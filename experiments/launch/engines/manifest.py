"""Kubernetes manifests as YAML text in which every text of the user stays one value.

PyYAML writes what YAML 1.1 reads as a text; Kubernetes' parser reads more as numbers. A `Quoted` text is
therefore always quoted, with escapes for whatever YAML does not allow.
"""

from collections.abc import Sequence
from typing import Any

import yaml


class Quoted(str):
    """A text of the user."""


class _Dumper(yaml.SafeDumper):
    """Writes `Quoted` texts in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal parts in full."""
        return True


_Dumper.add_representer(
    Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')
)


def text(*documents: dict[str, Any]) -> str:
    """Return documents as one YAML text."""
    dumped = (yaml.dump(each, Dumper=_Dumper, sort_keys=False, width=10**6) for each in documents)
    return "---\n".join(dumped)


def command(words: Sequence[str]) -> list[Quoted]:
    """Return the command of a container; Kubernetes expands $(NAME) in it, and reads $$ as $."""
    return [Quoted(word.replace("$", "$$")) for word in words]
