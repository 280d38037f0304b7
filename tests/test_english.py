"""Prose uses the field's terms: a stop list of words that this code base once used in place of them."""

import ast
import io
import pathlib
import re
import tokenize

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Pattern -> what to write instead.
STOP = {
    r"\bnobody\b|\bsomebody\b|\bwhoever\b": "no other process, another process, the caller",
    r"\bmend(s|ed|ing)?\b": "fix, correct",
    r"\b(goes|go|gone|went) on\b": "continue, resume",
    r"\bsigns? of life\b": "heartbeat, lease renewal",
    r"\bis away\b": "is unavailable",
    r"\btells? (the|a|its|of|what|whether|how|which|nothing|all)\b": "report, log, return",
    r"\b(is|are|was|were) told\b": "is reported",
    r"\bnone comes\b|\bcame instead\b": "got",
    r"\bwanted\b(?!:)": "expected",
    r"\bfor ever\b|\bhence\b|\bthereby\b|\bwhence\b": "forever, therefore",
    r"\blie(s)? in\b": "is in, is stored in",
    r"\bgives? back\b": "return, release",
    r"\bat home\b": "locally",
    r"\banew\b": "again",
}
ANY = re.compile("|".join(STOP))
# (file, text) that may stay: a quotation, or the word in its plain sense.
ALLOWED: set[tuple[str, str]] = set()


def prose(path: pathlib.Path) -> list[tuple[int, str]]:
    """Return (line, text) of each docstring, comment and message of a Python file, or each line of others."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return list(enumerate(source.splitlines(), start=1))
    found = []
    # Splitting a file into tokens takes longest, so only where a line with a comment may be wrong.
    if any("#" in line and ANY.search(line) for line in source.splitlines()):
        found = [
            (token.start[0], token.string)
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            first = node.lineno
            found += [(first + number, line) for number, line in enumerate(node.value.splitlines())]
    return found


def dialect(path: pathlib.Path) -> list[str]:
    """Return one line for each phrase of the stop list in a file."""
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    return [
        f"{name}:{line}: {match[0]!r}; write: {instead}"
        for line, text in prose(path)
        if ANY.search(text)
        for pattern, instead in STOP.items()
        for match in re.finditer(pattern, text)
        if (name, match[0]) not in ALLOWED
    ]


def test_prose_uses_the_terms_of_the_field():
    files = [
        path for room in ("core", "objectives", "data", "experiments") for path in (ROOT / room).rglob("*")
    ]
    files = [
        path for path in files if path.suffix in (".py", ".gin", ".md") and "records" not in path.parts[-2]
    ]
    files += [ROOT / "data/records" / path.name for path in (ROOT / "data/records").glob("*.py")]
    files += [ROOT / name for name in ("README.md", "WORKSPACE.md", "CHANGELOG.md", "Makefile")]
    found = [line for path in sorted(set(files)) for line in dialect(path)]
    assert not found, f"{len(found)}\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text", ['"""A late sign of life is none."""', "# go on with it", 'x = "wanted a file"']
)
def test_the_check_itself_finds_dialect(tmp_path, text):
    file = tmp_path / "wrong.py"
    file.write_text(text + "\n")
    assert dialect(file)
