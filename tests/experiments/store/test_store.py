"""Work directories and users that share a store train a stage once, and nothing in a store is trusted."""

import contextlib
import dataclasses
import json
import os

import pytest
from user_lab import ALL_REUSED, ablation, finish, lines, told

from prismlab.core import errors
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments import console
from prismlab.experiments.run import engine, rows
from prismlab.experiments.store import leases, store, views


def at(workdir, home) -> store.Store:
    found = store.choose(workdir, home)
    views.register(found, views.ROWS, views.Uses())
    return found


def test_two_work_directories_on_one_store_train_once(lab, tmp_path, monkeypatch):
    root = ablation(lab)
    trained, judged = [], []

    def train(self, planned):
        if stage_folder.left_of(self._folder(planned)) is not None:
            trained.append(planned.address)
            home = self._folder(planned)
            (home / "checkpoints" / str(planned.stage.steps)).mkdir(parents=True)
            (home / "done.json").write_text(json.dumps({"step": planned.stage.steps, "digest": ""}))

    def evaluate(self, planned, each, towers):
        judged.append(each.address)
        path = self.kept.score_path(each.address)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"metrics": {}}))

    monkeypatch.setattr(engine.Engine, "train", train)
    monkeypatch.setattr(engine.Engine, "towers", lambda self, planned: {})
    monkeypatch.setattr(engine.Engine, "_evaluate", evaluate)
    found = lines(root)
    for name in ("a", "b"):
        kept = at(tmp_path / name, tmp_path / "shared")
        rows.run(engine.Engine(tmp_path / name, tmp_path / "cache", console.silent(), kept=kept), found)
        assert not (tmp_path / name / "stages").exists()
    assert len(trained) == len(set(trained)) == 3
    assert len(judged) == len(set(judged)) == 3
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("a", "b")]
    assert results[0] == results[1]


def test_a_stage_is_found_by_its_address_whatever_its_name(tmp_path):
    kept = at(tmp_path / "w", tmp_path / "shared")
    address = "0123456789abcdef"
    assert kept.stage_folder(address, f"mine-s0-{address}").name == f"mine-s0-{address}"
    theirs = tmp_path / "shared/stages" / f"theirs-s0-{address}"
    theirs.mkdir(parents=True)
    assert kept.stage_folder(address, f"mine-s0-{address}") == theirs


def test_the_lease_of_another_user_is_waited_for(lab, tmp_path):
    kept = at(tmp_path / "w", tmp_path / "shared")
    with kept.turn("0123456789abcdef"):
        other = at(tmp_path / "v", tmp_path / "shared")
        assert leases.claim(other.home, "0123456789abcdef") is None
    with contextlib.closing(contextlib.ExitStack()) as held:
        held.enter_context(other.turn("0123456789abcdef"))


def test_a_work_directory_remembers_its_store(lab, tmp_path, monkeypatch):
    own = store.choose(tmp_path / "own", None)
    assert own == store.Store(tmp_path / "own", tmp_path / "own")
    monkeypatch.setenv(store.VARIABLE, str(tmp_path / "of all"))
    assert store.choose(tmp_path / "new", None).home == tmp_path / "of all"
    at(tmp_path / "w", tmp_path / "shared")
    assert store.choose(tmp_path / "w", None) == store.of(tmp_path / "w")
    assert store.of(tmp_path / "w").home == tmp_path / "shared"
    assert store.choose(tmp_path / "w", tmp_path / "other").home == tmp_path / "other"
    monkeypatch.delenv(store.VARIABLE)
    assert not store.choose(tmp_path / "w", tmp_path / "w").is_shared


def test_what_a_store_holds_is_reused_from_another_work_directory(lab, tmp_path):
    root = ablation(lab)
    finish(tmp_path / "shared", root)
    at(tmp_path / "w", tmp_path / "shared")
    assert told(tmp_path / "w", root) == ALL_REUSED


def test_a_store_that_is_none_is_refused_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UserError, match="file is a file; pass a directory"):
        store.choose(tmp_path / "w", tmp_path / "file")
    home = tmp_path / "shared"
    home.mkdir()
    (home / "store.json").write_text('{"format": 2}')
    with pytest.raises(errors.UserError, match=r"has format 2, and this version of prismlab reads format 1"):
        store.choose(tmp_path / "w", home)
    for hostile in ("[" * 100_000, "{}", '{"format": "1"}', '{"format": 1, "x": "' + "x" * 2**24 + '"}'):
        (home / "store.json").write_text(hostile)
        with pytest.raises(errors.UserError, match=r"store\.json"):
            store.choose(tmp_path / "w", home)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_store_is_refused_in_a_line(tmp_path):
    home = tmp_path / "shared"
    home.mkdir(mode=0o500)
    with pytest.raises(errors.UserError, match="shared"):
        at(tmp_path / "w", home)


@pytest.mark.parametrize("link", ["stages", "stages/one-s0-0123456789abcdef", "scores/0123456789abcdef.json"])
def test_links_in_a_shared_store_are_not_followed(tmp_path, link):
    kept = at(tmp_path / "w", tmp_path / "shared")
    path = tmp_path / "shared" / link
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    asked = [
        lambda: kept.stage_folder("0123456789abcdef", "one-s0-0123456789abcdef"),
        lambda: kept.score_path("0123456789abcdef"),
    ]
    with pytest.raises(errors.UserError, match="is a link, which a shared store may not have"):
        asked[link.startswith("scores")]()
    own = dataclasses.replace(kept, home=kept.workdir)
    own.stage_folder("0123456789abcdef", "one-s0-0123456789abcdef")  # of the user's own


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[1]"])
def test_a_hostile_mark_of_the_end_is_no_end(tmp_path, content):
    (tmp_path / "done.json").write_text(content)
    assert stage_folder.left_of(tmp_path) == ""


def test_a_file_that_is_too_large_is_read_as_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_folder, "MOST_BYTES", 20)
    path = tmp_path / "stage.json"
    path.write_text('{"x": 1}')
    assert stage_folder.json_if_sound(path) == {"x": 1}
    path.write_text('{"x": "' + "y" * 20 + '"}')
    assert stage_folder.json_if_sound(path) is None
