"""Paths as people write them: "~" is the home directory everywhere, and an empty path is refused."""

import os
import pathlib

import pytest

from prismlab.core import errors
from prismlab.core.io import filesystem, user_paths


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_home_is_expanded_in_local_paths_only(home: pathlib.Path) -> None:
    assert user_paths.local("~/run") == filesystem.parse_path("~/run") == home / "run"
    assert user_paths.expand("~") == str(home)
    for text in ("run", "./~/run", "a/~", "gs://bucket/~/run", "~draft.mp4"):
        assert user_paths.expand(text) == text


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_an_empty_path_is_not_the_current_directory(text: str) -> None:
    for parse in (user_paths.expand, user_paths.local, filesystem.parse_path):
        with pytest.raises(errors.UserError, match=r"expected a path, got .*; use \. for"):
            parse(text)


def test_a_missing_home_is_one_line_and_an_own_folder_of_that_name_is_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda text: text)  # neither HOME nor a line of passwd
    for text in ("~", "~/run", "~nobody-here/run"):
        with pytest.raises(
            errors.UserError, match=r"found no home directory for ~.*; write the path in full"
        ):
            user_paths.expand(text)
    pathlib.Path("~").mkdir()
    assert user_paths.local("~/run") == pathlib.Path("~/run")
