"""Fingerprints that are remembered equal those that are parsed, and a damaged memory costs only time."""

import pytest

from prismlab.core import code_fingerprint
from prismlab.experiments.recipe.addresses import code_memory

ROOTS = ["prismlab.core.errors", "prismlab.core.train.masking"]


@pytest.fixture
def fresh(monkeypatch):
    """Return a function that does what a new process finds."""

    def forget():
        monkeypatch.setattr(code_fingerprint, "_KNOWN", {})
        code_fingerprint.forget()
        code_memory._load.cache_clear()

    forget()
    yield forget
    forget()


def closure(cache) -> dict[str, str]:
    with code_memory.kept(cache):
        return code_fingerprint.closure(ROOTS)


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"modules": {"x": 1}}', b"[" * 100_000])
def test_what_is_remembered_equals_what_is_parsed(fresh, tmp_path, monkeypatch, content):
    found = closure(tmp_path)
    (memory,) = tmp_path.iterdir()
    fresh()
    if content is None:
        monkeypatch.setattr(code_fingerprint, "_parse", lambda data, package: pytest.fail("parsed again"))
    else:
        memory.write_bytes(content)
    assert closure(tmp_path) == found
    assert closure(None) == found


def test_a_cache_that_cannot_be_written_costs_only_time(fresh, tmp_path):
    (tmp_path / "file").write_text("")
    assert closure(tmp_path / "file")
