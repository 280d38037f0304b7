"""Texts that may leave the machine: absolute paths, hosts and addresses are replaced by a short hash.

A certificate is meant to be published with a paper. Equal paths get equal hashes, so that two certificates
can still be compared.
"""

import hashlib
import re
from typing import Any

# A string that is a path or URL as a whole, which may hold spaces; and one within a longer text. A path
# follows neither a word nor a closing bracket ("stage1/recipe.Stage", "%A/b").
_WHOLE = re.compile(r"(?:~[\w.-]*)?[/\\].+|[A-Za-z]:[/\\].+|[A-Za-z][\w+.-]*://.+|(?:\.\.[/\\]).+", re.DOTALL)
_WITHIN = re.compile(
    r"[A-Za-z][\w+.-]*://[^\s'\",;)\]}]+"
    r"|(?<![\w.)\]%<>*/\\~-])(?:~[\w.-]*|[A-Za-z]:|\.\.)?[/\\](?![\s/])[^\s'\",;:)\]}]+"
)
_LITERAL = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")


def text(value: str) -> str:
    """Return a text in which absolute paths, paths that leave the folder and URLs are hashes.

    Args:
        value: any text: one path, or a text with paths in it, such as gin or the flags of a compiler.

    Returns:
        The text, with `<path 1a2b3c4d>` for each of them.
    """
    if _WHOLE.fullmatch(value):
        return _hash(value)
    whole = _LITERAL.sub(lambda found: _literal(found[0]), value)
    return _WITHIN.sub(lambda found: _hash(found[0]), whole)


def tree(value: Any) -> Any:
    """Return JSON data in which every text, also a key, is shareable."""
    if isinstance(value, dict):
        return {text(name): tree(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [tree(item) for item in value]
    return text(value) if isinstance(value, str) else value


def place(where: str) -> str:
    """Return where a binding was written: `experiments/gin/smoke.gin:12`, `mine.gin:3` or `command line`.

    Args:
        where: file:line of a binding, or `binding '...'` of the command line.
    """
    file, _, line = where.rpartition(":")
    if not line.isdigit():
        return "command line"
    if file.startswith(("/", "~", "\\", "..")) or file[1:3] in (":/", ":\\"):
        file = re.split(r"[/\\]", file)[-1]
    return f"{file}:{line}"


def _literal(quoted: str) -> str:
    inner = quoted[1:-1]
    return f"{quoted[0]}{_hash(inner)}{quoted[0]}" if _WHOLE.fullmatch(inner) else quoted


def _hash(path: str) -> str:
    return f"<path {hashlib.sha256(path.encode(errors='surrogatepass')).hexdigest()[:8]}>"
