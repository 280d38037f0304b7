"""Modules that moved to a sub-room: old imports are answered, recorded names are read."""

import importlib
import pathlib

import pytest

from prismlab.core import errors
from prismlab.experiments.gin_strict import imports, strict, sub_rooms

MOVED = sorted(sub_rooms.MOVED.items())
SMOKE = pathlib.Path(strict.__file__).parents[1] / "gin/smoke.gin"


def test_every_module_is_where_the_table_says():
    for old, new in MOVED:
        assert importlib.import_module(new).__name__ == new
        with pytest.raises(ImportError):
            importlib.import_module(old)


def test_recorded_names_are_read_as_they_are_now():
    old, new = MOVED[0]
    then = {"class": f"{old}.Head", "code": {old: "1", f"{old}s": "2"}, "all": [f"{old}.Head.of", 3, None]}
    now = {"class": f"{new}.Head", "code": {new: "1", f"{old}s": "2"}, "all": [f"{new}.Head.of", 3, None]}
    assert sub_rooms.renamed(then) == now
    assert sub_rooms.renamed(now) == now


def test_an_import_of_an_earlier_version_is_answered_with_the_new_one(tmp_path):
    old, new = MOVED[0]
    file = tmp_path / "mine.gin"
    room, _, name = old.rpartition(".")
    file.write_text(f"from __gin__ import dynamic_registration\nfrom {room} import {name}\n")
    wanted = f"mine.gin:2: .* moved to another room; write `from {new.rpartition('.')[0]} import {name}`"
    with pytest.raises(errors.UserError, match=wanted):
        strict.load(str(file))


def test_a_users_module_with_such_an_import_is_answered_too(tmp_path, monkeypatch):
    old, new = MOVED[0]
    room, _, name = old.rpartition(".")
    monkeypatch.syspath_prepend(tmp_path)
    for line in (f"from {room} import {name}", f"import {old}", f"from {old} import Head"):
        (tmp_path / "my_own_heads.py").write_text(line + "\n")
        with pytest.raises(ImportError) as raised:
            importlib.import_module("my_own_heads")
        message = imports.why("my_own_heads", raised.value)
        assert f"write `from {new.rpartition('.')[0]} import {name}`" in message


def test_a_file_that_an_earlier_version_wrote_is_read(tmp_path):
    text = strict.load(str(SMOKE)).text
    for old, new in MOVED:
        (room, _, name), (now, _, _) = old.rpartition("."), new.rpartition(".")
        text = text.replace(f"from {now} import {name}\n", f"from {room} import {name}\n")
    file = tmp_path / "config.gin"
    file.write_text(text)
    assert strict.load(str(file), earlier=True).text == strict.load(str(SMOKE)).text
