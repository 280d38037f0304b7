"""Pytest plugin of the kit: one clear report where a component breaks its contract or cannot be found.

Installed with prismlab (entry point `pytest11`), it loads in every pytest run, so it imports nothing of ours
before a test file does.
"""

import pathlib
import re
import sys
from collections.abc import Generator
from typing import Any

import pytest

_CASE = re.compile(r"Falsifying example|Failing test case")  # as versions of hypothesis begin their note
_MISSING = re.compile(r"No module named '([A-Za-z_]\w*)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a broken contract by its message and the smallest failing case, without a traceback."""
    del item
    report = yield
    if call.excinfo is not None and _is_ours(call.excinfo.value):
        report.longrepr = explanation(call.excinfo.value)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Report a test file that names no component, or a package that is not on the path, in one line."""
    report = yield
    call = getattr(report, "call", None)
    if call is None or call.excinfo is None:
        return report
    if _is_ours(call.excinfo.value):
        report.longrepr = f"{collector.nodeid}: {explanation(call.excinfo.value)}"
    elif isinstance(collector, pytest.Module):
        line = not_on_the_path(str(call.excinfo.value), collector.path)
        report.longrepr = report.longrepr if line is None else f"{collector.nodeid}: {line}"
    return report


def explanation(error: BaseException) -> str:
    """Return the message of an error, and what hypothesis notes of the smallest failing case.

    Args:
        error: a fault or a user error.
    """
    notes = [line for note in getattr(error, "__notes__", ()) for line in str(note).splitlines()]
    at_start = next((place for place, line in enumerate(notes) if _CASE.match(line)), None)
    if at_start is None:
        return str(error)
    lines = [line.strip() for line in notes[at_start + 1 :]]
    case = [line for line in lines if "=" in line and not line.startswith(("self=", "case=", "policy="))]
    return "\n".join([str(error), "smallest case:", *(f"    {line}" for line in case)])


def not_on_the_path(failure: str, test_file: pathlib.Path) -> str | None:
    """Return how to make a package importable that lies beside or above a test file, or None.

    Args:
        failure: text of the failed import.
        test_file: the file that imports it.
    """
    missing = _MISSING.search(failure)
    if missing is None:
        return None
    name = missing.group(1)
    for folder in (*test_file.parents, pathlib.Path.cwd()):
        if (folder / name).is_dir() and str(folder) not in sys.path:
            return (
                f"package {name} is not on the path of Python; set PYTHONPATH={folder}, or add "
                f'`pythonpath = ["."]` to [tool.pytest.ini_options] of the pyproject.toml in {folder}'
            )
    return None


def _is_ours(error: BaseException) -> Any:
    # Looked up, not imported: most runs of pytest on a machine have nothing to do with prismlab.
    kinds = (
        ("prismlab.experiments.kit.faults", "Fault"),
        ("prismlab.core.errors", "UserError"),
    )
    known = tuple(getattr(sys.modules[module], name) for module, name in kinds if module in sys.modules)
    return isinstance(error, known) and _raised_for_a_contract(error)


def _raised_for_a_contract(error: BaseException) -> bool:
    """Return whether an error went through the kit; a UserError in another test keeps its traceback."""
    if type(error).__name__ == "Fault":
        return True
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("prismlab.experiments.kit"):
            return True
        trace = trace.tb_next
    return False
