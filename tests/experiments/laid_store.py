"""A store on the disk with a small graph of stages and evaluations, for tests of `find`, `gc` and pins."""

import json
import pathlib

from prismlab.experiments.recipe import describe
from prismlab.experiments.store import views


class Laid:
    """A store on the disk with a graph of stages and evaluations."""

    def __init__(self, home: pathlib.Path, parents, scores, done=()):
        self.home, self.parents = home, {}
        self.kinds, places = {}, []
        for place, (kind, above) in enumerate([("stage", each) for each in parents]):
            above = sorted(places[each] for each in above if each < place)
            address = self._add(
                kind, {"parents": {f"p{n}": each for n, each in enumerate(above)}, "n": place}
            )
            places.append(address)
            self.parents[address] = set(above)
            if place in done:
                self._folder(address).joinpath("done.json").write_text('{"step": 1, "digest": ""}')
        for number, place in enumerate(scores):
            address = self._add("evaluation", {"parents": {"stage": places[place]}, "n": f"e{number}"})
            self.parents[address] = {places[place]}
        self.all = list(self.kinds)

    def _folder(self, address: str) -> pathlib.Path:
        return self.home / "stages" / f"any-s0-{address}"

    def _add(self, kind: str, inputs: dict) -> str:
        address = describe.address(inputs)
        self.kinds[address] = kind
        if kind == "stage":
            self._folder(address).mkdir(parents=True)
            (self._folder(address) / "stage.json").write_text(json.dumps({"name": "any", "inputs": inputs}))
        else:
            (self.home / "scores").mkdir(exist_ok=True)
            said = {"name": "judge", "inputs": inputs, "metrics": {"m": {"value": 0.5}}}
            (self.home / "scores" / f"{address}.json").write_text(json.dumps(said))
            (self.home / "scores" / f"{address}.certificate").touch()
        return address

    def uses(self, addresses) -> views.Uses:
        of = lambda kind: tuple(each for each in addresses if self.kinds[each] == kind)
        return views.Uses(of("stage"), of("evaluation"))

    def closure(self, addresses) -> set[str]:
        found = set(addresses)
        while more := {above for each in found for above in self.parents[each]} - found:
            found |= more
        return found

    def left(self) -> set[str]:
        return {path.name.partition(".")[0][-16:] for path in self.home.glob("s*s/*") if path.name[0] != "o"}
