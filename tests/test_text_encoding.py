"""Text is read and written as UTF-8 in every locale: each call says so (ruff sees only some of them)."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = [
    path
    for room in ("core", "objectives", "data", "experiments", "prismlab")
    for path in sorted((ROOT / room).rglob("*.py"))
]


def _text_without_encoding(path):
    """Yield the line of each call that reads or writes text in the encoding of the locale."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        given = {word.arg: word.value for word in node.keywords}
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = isinstance(node.func, ast.Name)
        mode = given.get("mode", next(iter(node.args[owner:]), None))
        named = isinstance(mode, ast.Constant) and isinstance(mode.value, str)
        opens = called == "open" and "fileobj" not in given and (owner or named)
        opens = opens and not (isinstance(mode, ast.Constant) and "b" in str(mode.value))
        reads = called == "read_text" and not node.args
        writes = called == "write_text" and len(node.args) < 2
        if "encoding" not in given and (
            opens or reads or writes or ("text" in given and called in ("run", "Popen"))
        ):
            yield node.lineno


def test_text_is_utf8_in_every_locale():
    found = [f"{path}:{line}" for path in SOURCES for line in _text_without_encoding(path)]
    assert not found, 'pass encoding="utf-8"\n' + "\n".join(found)


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("p.read_text()\np.read_text('utf-8')\np.read_bytes()", [1]),
        ("p.write_text('a')\np.write_text('a', encoding='utf-8')", [1]),
        ("open('a')\nopen('a', 'rb')\nopen('a', 'w')\nopen('a', encoding='utf-8')", [1, 3]),
        ("tarfile.open(fileobj=f, mode='r:')\np.open('w')\np.open('rb')\nsource.open(cache)", [2]),
        ("zip.open(entry, 'w', force_zip64=True)", []),
        (
            "subprocess.run(a, text=True)\nsubprocess.run(a, text=True, encoding='utf-8')\nrun(text='a')",
            [1, 3],
        ),
    ],
)
def test_text_without_an_encoding_is_found(tmp_path, code, lines):
    (tmp_path / "a.py").write_text(code)
    assert list(_text_without_encoding(tmp_path / "a.py")) == lines
