"""Values against annotations: what is clearly wrong is refused, what is unknown is accepted."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Optional, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.experiments.gin_strict import check_types


class Speaks(Protocol):
    def speak(self) -> str: ...


GOOD = [
    (3, int),
    (3.0, float),
    (None, Optional[int]),  # noqa: UP045
    (None, None),
    ("x", Literal["x", "y"]),
    (3, Any),
    (3, "unresolved"),
    (3, Speaks),
    ((1, "a"), tuple[int, str]),
    ((), tuple[int, ...]),
    ([1], Sequence[int]),
    ({"a": 1}, Mapping[str, int]),
    (len, Callable[..., int]),
    (3, int | float),
    (pathlib.Path("x"), pathlib.PurePath),
]
BAD = [
    (True, int),
    (True, float),
    ("1", float),
    (1, str),
    (None, int),
    (1, None),
    (1, Literal[True]),
    ("z", Literal["x", "y"]),
    ((1,), tuple[int, str]),
    ([1], tuple),
    ("ab", Sequence[str]),
    ({1: 1}, dict[str, int]),
    (3, Callable),
    ("x", pathlib.PurePath),
    ("x", int | None),
]


@pytest.mark.parametrize(("value", "hint"), GOOD)
def test_fits(value, hint):
    assert check_types.fit(value, hint) == value
    assert type(check_types.fit(value, hint)) is type(value)


@pytest.mark.parametrize(("value", "hint"), BAD)
def test_does_not_fit(value, hint):
    with pytest.raises(check_types.Mismatch):
        check_types.fit(value, hint)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-1000, 1000)).map(tuple))
def test_whole_numbers_become_floats_where_floats_are_wanted(numbers):
    got = check_types.fit(numbers, tuple[float, ...])
    assert got == numbers
    assert all(type(each) is float for each in got)
