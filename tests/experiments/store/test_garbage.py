"""`gc` never removes what a registered work directory, a pin or a live lease needs, and removes all else."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile

import hypothesis
import pytest
from hypothesis import strategies as st
from laid_store import Laid

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments import main
from prismlab.experiments.store import garbage, leases, pins, store, store_search, views

GRAPHS = st.integers(0, 5).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            "parents": st.tuples(
                *(st.sets(st.integers(0, max(each - 1, 0)), max_size=2) for each in range(n))
            ),
            "scores": st.lists(st.integers(0, max(n - 1, 0)), max_size=4 if n else 0),
            "done": st.sets(st.integers(0, n)),
            "views": st.lists(st.sets(st.integers(0, n + 4), max_size=4), max_size=3),
            "pinned": st.sets(st.integers(0, n + 4), max_size=2),
            "held": st.sets(st.integers(0, n + 4), max_size=2),
        }
    )
)


def choose(laid: Laid, places) -> list[str]:
    return [laid.all[each] for each in places if each < len(laid.all)]


@hypothesis.given(GRAPHS)
def test_all_that_is_needed_stays_and_all_else_goes(graph):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        top = pathlib.Path(folder)
        home = top / "store"
        laid = Laid(home, graph["parents"], graph["scores"], graph["done"])
        store.prepare(store.Store(home, top / "w"))
        needed: set[str] = set()
        for number, each in enumerate(graph["views"]):
            used = choose(laid, each)
            kept = store.Store(home, top / f"w{number}")
            views.register(kept, views.ROWS, laid.uses(used))
            needed |= set(used)
        if graph["views"]:
            shutil.rmtree(top / "w0")  # its claim stays
        for address in choose(laid, graph["pinned"]):
            views.pin(home, address, pins.uses_of(home, address), "ada")
            needed |= laid.closure([address])
        for address in choose(laid, graph["held"]):
            score = laid.kinds[address] == "evaluation"
            held = leases.claim(home, f"score-{address}" if score else address)
            stack.callback(held.release)
            needed.add(address)
        (home / ".x.json.killed.tmp").touch()
        (home / "notes.txt").touch()
        (home / "stages").mkdir(exist_ok=True)
        (home / "stages/own folder").mkdir()
        unused = {each.address for each in garbage.survey(home).garbage if each.address}
        assert laid.left() == set(laid.all)  # nothing is removed unasked
        outcome = garbage.remove(home, patience=0)
        assert laid.left() == needed
        assert unused - needed == set(laid.all) - needed
        certified = {path.stem for path in home.glob("scores/*.certificate")}
        assert certified == {path.stem for path in home.glob("scores/*.json")}
        assert not outcome.failed
        assert not (home / ".x.json.killed.tmp").exists()
        assert (home / "notes.txt").exists()
        assert (home / "stages/own folder").exists()


def test_the_commands_list_pin_forget_and_delete(laid, tmp_path, capsys):
    first, second, score = laid.all
    kept = store.Store(laid.home, tmp_path / "w")
    views.register(kept, views.ROWS, laid.uses([first]))
    assert main.main(["pin", score, "--store", str(laid.home)]) == 0
    assert "2 stages and 1 evaluations are pinned" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "w")
    assert main.main(["gc", str(laid.home)]) == 0
    told = capsys.readouterr().out
    assert f"{tmp_path / 'w'} of" in told
    assert "its 1 stages and 0 evaluations are kept until --forget" in told
    assert "0 of 3 items are not needed: 0 bytes" in told
    assert main.main(["pin", score, "--store", str(laid.home), "--unpin"]) == 0
    assert main.main(["gc", str(laid.home)]) == 0
    told = capsys.readouterr().out
    assert "2 of 3 items are not needed" in told
    assert f"stage  any-s0-{second}" in told
    assert laid.left() == {first, second, score}
    assert main.main(["gc", str(laid.home), "--delete", "--forget", str(tmp_path / "w")]) == 0
    assert laid.left() == set()
    assert main.main(["gc", str(laid.home), "--forget", "elsewhere"]) == 2
    assert "no such work directory is registered" in capsys.readouterr().err


def test_a_pinned_work_directory_keeps_its_table_when_its_rows_change(laid, tmp_path):
    first, second, _ = laid.all
    kept = store.Store(laid.home, tmp_path / "w")
    views.register(kept, views.ROWS, laid.uses([first]))
    assert main.main(["pin", str(tmp_path / "w")]) == 0
    views.register(kept, views.ROWS, laid.uses([second]), exact=True)
    garbage.remove(laid.home, patience=0)
    assert laid.left() == {first, second}


def test_the_table_before_is_kept_until_the_new_one_is_written(laid, tmp_path):
    first, second, _ = laid.all
    kept = store.Store(laid.home, tmp_path / "w")
    views.register(kept, views.ROWS, laid.uses([first]))
    views.register(kept, views.ROWS, laid.uses([second]))
    assert set(views.registered(laid.home)[0].all_uses.stages) == {first, second}
    views.register(kept, views.EVALUATION, views.Uses((), ()), exact=True)
    views.register(kept, views.ROWS, laid.uses([second]), exact=True)
    assert views.registered(laid.home)[0].all_uses.stages == (second,)


def test_a_work_directory_that_moves_to_another_store_leaves_the_first(laid, tmp_path):
    views.register(store.Store(laid.home, tmp_path / "w"), views.ROWS, laid.uses(laid.all))
    assert len(views.registered(laid.home)) == 1
    views.register(store.Store(tmp_path / "other", tmp_path / "w"), views.ROWS, laid.uses(laid.all))
    assert views.registered(laid.home) == []


def test_an_expired_lease_of_another_machine_holds_nothing(laid):
    (laid.home / "claims").mkdir()
    owner = {"host": "away", "process": 1}
    (laid.home / "claims" / f"{laid.all[0]}.0").write_text(json.dumps(owner))
    outcome = garbage.remove(laid.home, patience=0)
    assert [each.address for each in outcome.held] == [laid.all[0]]
    said: list[str] = []
    assert len(garbage.remove(laid.home, said.append, beat=0.01, stale=0.02).removed) == 1
    assert "1 items may be in use" in said[0]


def test_a_registration_waits_while_gc_runs(laid, tmp_path, monkeypatch):
    turns = []
    monkeypatch.setattr(leases, "in_turn", lambda home, unit, **_: contextlib.nullcontext(turns.append(unit)))
    held = leases.claim(laid.home, views.COLLECTING)
    views.register(store.Store(laid.home, tmp_path / "w"), views.ROWS, laid.uses(laid.all))
    held.release()
    assert turns == [views.COLLECTING]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("views/x.json", "{"),
        ("views/x.json", "[" * 100_000),
        ("views/x.json", '{"uses": {"rows": {"stages": ["../../home"]}}}'),
        ("pins/x.json", '{"what": 1}'),
        ("pins/x.json", None),
        ("views", None),
    ],
)
def test_a_damaged_or_hostile_registration_removes_nothing(laid, tmp_path, path, content):
    target = laid.home / path
    target.parent.mkdir(exist_ok=True)
    if content is None:
        target.symlink_to(tmp_path)
    else:
        target.write_text(content)
    with pytest.raises(errors.UserError, match=path.partition("/")[0]):
        garbage.remove(laid.home, patience=0)
    assert laid.left() == set(laid.all)


def test_links_lead_gc_nowhere(laid, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (laid.home / "stages" / "link-s0-0123456789abcdef").symlink_to(outside)
    os.symlink(outside, laid.home / "stages" / f"any-s0-{laid.all[0]}" / "checkpoints")
    assert len(garbage.remove(laid.home, patience=0).removed) == 3
    assert (outside / "kept").exists()


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(errors.UserError, match=r"is no store: it has no store\.json"):
        garbage.survey(tmp_path)
    (tmp_path / "store.json").write_text('{"format": 1}')
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(errors.UserError, match=r"view\.json is missing, so what its table uses is not known"):
        garbage.survey(tmp_path)


def test_a_store_in_a_bucket_is_queried_pinned_and_collected(bucket, tmp_path):
    home = filesystem.parse_path("gs://bucket/store")
    laid = Laid(tmp_path / "local", [set(), {0}], [1], {0, 1})
    for path in laid.home.rglob("*"):
        if path.is_file():
            filesystem.write_atomic(home / path.relative_to(laid.home).as_posix(), path.read_bytes())
    first, second, score = laid.all
    kept = store.choose(tmp_path / "w", home)
    views.register(kept, views.ROWS, laid.uses([first]))
    assert store.of(tmp_path / "w") == kept
    assert [each.state for each in store_search.find(home, [("kind", "stage")])] == ["unfinished"] * 2
    assert all(garbage.size(each) > 0 for each in garbage.items(home))
    views.pin(home, score, pins.uses_of(home, score), "ada")
    assert not garbage.remove(home, patience=0).removed
    assert views.unpin(home, score)
    assert {each.address for each in garbage.remove(home, patience=0).removed} == {second, score}
    assert {each.address for each in garbage.items(home)} == {first}
    assert not [name for name in bucket.objects if second in name and "claims" not in name]
