"""The contract of sources of clips, as tests that a package runs on its own classes.

class TestMine(source_contract.SourceContract):
    examples = (lambda cache: mine.Mine("clips/"),)
"""

import dataclasses
import pathlib
import pickle
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar

import pytest

from prismlab.data.loader import source
from prismlab.data.records import record
from prismlab.experiments.kit import faults

Example = Callable[[pathlib.Path], source.Source]


def found(module: ModuleType) -> tuple[type, ...]:
    """Return the sources that a module defines.

    Raises:
        UserError: it defines none.
    """
    wanted = "a frozen dataclass with `open(cache)` (source.Source) defined in it"
    return faults.defined_in(
        module, wanted, lambda each: dataclasses.is_dataclass(each) and hasattr(each, "open")
    )


class SourceContract:
    """Tests of sources; a subclass in a test file gives small examples.

    Attributes:
        kinds: the classes that must have an example.
        examples: each makes a source of a few clips; it is called with a folder for files of its own.
    """

    kinds: ClassVar[Sequence[type]] = ()
    examples: ClassVar[Sequence[Example]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test once for each example."""
        if "example" in metafunc.fixturenames:
            examples = faults.given(type(self), "examples")
            metafunc.parametrize("example", examples, ids=[f"example{n}" for n in range(len(examples))])

    @pytest.fixture
    def cache(self, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
        """Return a cache that the tests of one class share."""
        found = tmp_path_factory.getbasetemp() / f"{type(self).__module__}-{type(self).__name__}"
        found.mkdir(exist_ok=True)
        return found

    @pytest.fixture
    def home(self, example: Example, cache: pathlib.Path) -> Any:
        """Return the source."""
        return example(cache)

    def test_every_class_has_an_example(self, cache: pathlib.Path) -> None:
        """No class goes untested."""
        shown = {type(each(cache)) for each in faults.given(type(self), "examples")}
        missing = [kind.__name__ for kind in self.kinds if kind not in shown]
        faults.require(not missing, f"{missing} have no example in `examples`, so nothing tests them")

    def test_it_is_a_documented_frozen_dataclass_of_plain_values(self, home: Any) -> None:
        """Its repr is its identity, and it can be sent to another process."""
        name = type(home).__name__
        frozen = faults.is_frozen(home)
        faults.require(frozen, f"{name} must be a frozen dataclass: its repr is its identity in the cache")
        faults.require("Args:" in (type(home).__doc__ or ""), f"{name}: describe its fields under `Args:`")
        faults.require(
            " object at 0x" not in repr(home), f"{name}: every field must be a plain value, got {home!r}"
        )
        again = pickle.loads(pickle.dumps(home))
        faults.require(hash(home) == hash(again) and home == again, f"{name} changes when it is pickled")

    def test_it_opens_counts_and_indexes(self, home: Any, cache: pathlib.Path) -> None:
        """Records have unique keys, a video, and a caption or None; an index outside is an IndexError."""
        records, name = home.open(cache), type(home).__name__
        clips = [records[index] for index in range(len(records))]
        faults.require(clips, f"{name}: the example holds no clips, so nothing is tested; give it a few")
        repeated = len(clips) - len({each.key for each in clips})
        faults.require(not repeated, f"{name}: {repeated} clips have the key of another one; keys are unique")
        for each in clips:
            sound = isinstance(each, record.Record) and each.video and each.caption != ""
            faults.require(
                sound, f"{name}: clip {each.key!r} must be a Record with video and caption (or None)"
            )
        try:
            records[len(clips)]
        except IndexError:
            return
        raise faults.Fault(f"{name}: index {len(clips)} of {len(clips)} clips must raise IndexError")

    def test_it_is_deterministic_and_its_records_travel(self, home: Any, cache: pathlib.Path) -> None:
        """Records are the same each time, and in another process."""
        records, again, name = home.open(cache), home.open(cache), type(home).__name__
        travelled = pickle.loads(pickle.dumps(records))
        for index in reversed(range(len(records))):
            first = records[index]
            faults.require(first == again[index], f"{name}: clip {index} differs when it is opened again")
            faults.require(
                first == travelled[index],
                f"{name}: clip {index} differs after records were pickled, as they are for worker processes",
            )

    def test_it_does_not_depend_on_the_cache(
        self, home: Any, cache: pathlib.Path, tmp_path: pathlib.Path
    ) -> None:
        """An empty cache gives the same records."""
        records, fresh, name = home.open(cache), home.open(tmp_path), type(home).__name__
        same = [records[i] for i in range(len(records))] == [fresh[i] for i in range(len(fresh))]
        faults.require(same, f"{name} gives other clips with an empty cache; the cache may only save time")

    def test_it_states_its_content(self, home: Any, cache: pathlib.Path) -> None:
        """`content_digest`, if there is one, gives the same text each time."""
        if isinstance(home, source.Stated):
            one, two = home.content_digest(cache), home.content_digest(cache)
            stable = isinstance(one, str) and one == two
            faults.require(
                stable, f"{type(home).__name__}.content_digest must give one text, got {one!r}, {two!r}"
            )
