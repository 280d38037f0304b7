"""Lock files are shared fairly, keep their content, and never lead to another file."""

import pytest

from prismlab.core import errors
from prismlab.core.io import locks


def test_a_held_lock_is_refused_and_given_back(tmp_path) -> None:
    path = tmp_path / "folder/.lock"
    with (
        locks.held(path),
        pytest.raises(errors.UserError, match="wait for it"),
        locks.held(path, "wait for it"),
    ):
        pass
    with locks.held(path, "wait for it"):
        path.write_text("kept")
    with locks.held(path):
        pass
    assert path.read_text() == "kept"


def test_a_planted_link_is_not_followed(tmp_path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / ".lock").symlink_to(tmp_path / "victim")
    with (
        pytest.raises(errors.UserError, match="expected a regular file, found a link"),
        locks.held(tmp_path / ".lock"),
    ):
        pass
    assert (tmp_path / "victim").read_text() == "precious"
