"""`find` lists the stages and evaluations of a store that fit, and names damaged ones."""

import json

import pytest

from prismlab.core import errors
from prismlab.experiments import main
from prismlab.experiments.store import store, store_search, views


def test_find_lists_what_fits(laid, tmp_path, capsys):
    first, second, score = laid.all
    views.register(store.Store(laid.home, tmp_path / "w"), views.ROWS, laid.uses([second, score]))
    found = {each.address: each for each in store_search.find(laid.home)}
    assert set(found) == {first, second, score}
    assert found[second].used_by == (str(tmp_path / "w"),)
    assert found[score].metrics == {"m": 0.5}
    ask = lambda *words: [
        each.address for each in store_search.find(laid.home, store_search.conditions(words))
    ]
    assert ask("kind=stage") == sorted([first, second])
    assert ask("n=1") == [second]
    assert ask("stage=" + second, "m=0.5") == [score]
    assert ask("name=jud*") == [score]
    assert ask("pinned=false", "kind=evaluation") == [score]
    with pytest.raises(errors.UserError, match=r"no stage or evaluation .* field 'nmae'; did you mean name"):
        ask("nmae=x")
    with pytest.raises(errors.UserError, match="expected FIELD=VALUE"):
        ask("name")
    assert main.main(["find", str(laid.home), "kind=evaluation", "--json"]) == 0
    (read,) = json.loads(capsys.readouterr().out)
    assert read["address"] == score
    assert main.main(["find", str(laid.home), "kind=stage"]) == 0
    assert second in capsys.readouterr().out


def test_find_names_damaged_items(laid):
    path = laid.home / "stages" / f"any-s0-{laid.all[0]}" / "stage.json"
    path.write_text('{"name": "x", "inputs": {"n": 77}}')
    (laid.home / "scores" / f"{laid.all[2]}.json").write_text("[" * 100_000)
    states = {each.address: each.state for each in store_search.find(laid.home)}
    assert states[laid.all[0]] == "damaged: its content has another address"
    assert "nested too deeply" in states[laid.all[2]]
