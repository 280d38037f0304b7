"""One kind of error for user mistakes; asserts only narrow types, so that `python -O` changes nothing."""

import ast
import functools
import pathlib
import subprocess
import sys

import pytest

from prismlab.core import errors

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = [
    path
    for room in ("core", "objectives", "data", "experiments")
    for path in sorted((ROOT / room).rglob("*.py"))
]
# Parsers of one value, whose ValueError their own room turns into a message with file and line.
PARSERS = ("core/weights/weight_files.py", "data/corpus/inputs/")
# Modules whose functions raise UserError; a handler of ValueError around them must let it through.
RAISING = ("urls", "filesystem", "checked_json", "atomic")
NARROWING = ("isinstance", "issubclass", "callable")


def statements(source: str) -> list[ast.AST]:
    """Return what the checks look at: each assert, raise and try."""
    looked_at = (ast.Assert, ast.Raise, ast.Try)
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, looked_at)]


@functools.cache
def parsed() -> list[tuple[str, list[ast.AST]]]:
    return [(str(path.relative_to(ROOT)), statements(path.read_text())) for path in FILES]


def narrows(test: ast.expr) -> bool:
    """Return True if an expression only narrows a type: `x is not None`, isinstance, or both."""
    if isinstance(test, ast.BoolOp):
        return all(map(narrows, test.values))
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return narrows(test.operand)
    if isinstance(test, ast.Compare):
        against_none = all(isinstance(each, ast.Constant) and each.value is None for each in test.comparators)
        calls = any(isinstance(each, ast.Call) for each in ast.walk(test.left))
        return against_none and not calls and all(isinstance(op, ast.Is | ast.IsNot) for op in test.ops)
    return isinstance(test, ast.Call) and ast.unparse(test.func) in NARROWING


def asserts(found: list[ast.AST]) -> list[str]:
    """Return the asserts that do more than narrow a type."""
    return [
        f"line {node.lineno}: assert {ast.unparse(node.test)}"
        for node in found
        if isinstance(node, ast.Assert) and not narrows(node.test)
    ]


def raised(found: list[ast.AST]) -> list[str]:
    """Return the statements that raise a bare ValueError or AssertionError."""
    return [
        f"line {node.lineno}: {ast.unparse(node)[:80]}"
        for node in found
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and ast.unparse(node.exc.func) in ("ValueError", "AssertionError", "Exception")
    ]


def _names(handler: ast.ExceptHandler) -> list[str]:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return [ast.unparse(each).rpartition(".")[2] for each in kinds if each is not None]


def _may_raise(body: list[ast.stmt]) -> bool:
    for node in ast.walk(ast.Module(body, [])):
        if isinstance(node, ast.Raise) and node.exc and "UserError" in ast.unparse(node.exc):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func).partition(".")[0] in RAISING:
            return True
    return False


def swallowed(found: list[ast.AST]) -> list[str]:
    """Return the handlers of ValueError that also catch a UserError of the code they guard."""
    faults = []
    for node in found:
        if not isinstance(node, ast.Try) or not _may_raise(node.body):
            continue
        before: list[str] = []
        for handler in node.handlers:
            if "ValueError" in _names(handler) and not {"UserError", "Stop"} & {*before, *_names(handler)}:
                faults.append(
                    f"line {handler.lineno}: let UserError through before {ast.unparse(handler.type)}"
                )
            before += _names(handler)
    return faults


def test_asserts_only_narrow_types():
    assert [f"{name}, {fault}" for name, found in parsed() for fault in asserts(found)] == []


def test_user_mistakes_are_user_errors():
    faults = [
        f"{name}, {fault}"
        for name, found in parsed()
        if not name.startswith(PARSERS)
        for fault in raised(found)
    ]
    assert faults == []


def test_no_handler_of_value_errors_swallows_a_user_error():
    assert [f"{name}, {fault}" for name, found in parsed() for fault in swallowed(found)] == []


def test_a_user_error_is_a_value_error():
    with pytest.raises(ValueError, match="one line"):
        raise errors.UserError("one line")


@pytest.mark.parametrize(
    ("code", "check"),
    [
        ("assert fields.pop('x') == 3", asserts),
        ("assert fields.pop('x') is not None", asserts),
        ("assert len(a) == len(b)", asserts),
        ("raise ValueError('no')", raised),
        ("try:\n    filesystem.read(p)\nexcept (OSError, ValueError):\n    pass", swallowed),
    ],
)
def test_the_checks_find_what_they_look_for(code, check):
    assert len(check(statements(code))) == 1


@pytest.mark.parametrize(
    ("code", "check"),
    [
        ("assert a.b is not None and isinstance(c, int)", asserts),
        (
            "try:\n    filesystem.read(p)\nexcept errors.UserError:\n    raise\nexcept ValueError:\n    pass",
            swallowed,
        ),
    ],
)
def test_the_checks_accept_what_is_right(code, check):
    assert check(statements(code)) == []


def test_records_read_the_same_without_asserts():
    code = (
        "from prismlab.data.records import record; "
        "data = record.pack(record.Record(key='a', video=b'123', caption='c', kind='frames', sizes=(3,))); "
        "back = record.unpack(data); print(__debug__, back.key, back.video, back.sizes)"
    )
    run = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.split() == ["False", "a", "b'123'", "(3,)"], run.stderr
