"""Checked reading of JSON: values of the right type become dataclasses, anything else one line."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.io import checked_json


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    share: float
    seeds: tuple[int, ...] = ()

    def __post_init__(self):
        if self.share > 1:
            raise ValueError("share must be at most 1")


@dataclasses.dataclass(frozen=True)
class Whole:
    parts: Mapping[str, Part]
    range: tuple[float, float] | None
    loss: checked_json.AnyFloat = 0.0
    rest: Mapping[str, Any] = dataclasses.field(default_factory=dict, metadata={"rest": True})


GOOD = {"parts": {"a": {"name": "x", "share": 1, "seeds": [1, 2]}}, "range": [0, 1], "more": [{"deep": 1.5}]}


def test_a_file_becomes_dataclasses(tmp_path):
    (tmp_path / "file.json").write_text(json.dumps(GOOD | {"loss": math.inf}))
    found = checked_json.read(Whole, tmp_path / "file.json")
    assert found == Whole({"a": Part("x", 1.0, (1, 2))}, (0.0, 1.0), math.inf, {"more": [{"deep": 1.5}]})
    assert isinstance(found.parts["a"].share, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": []}, "expected an object at parts, found a list of 0"),
        ({"parts": {"a b": {}}}, "expected name in parts.'a b', found no such key"),
        ({"parts": {"a": {"name": 3, "share": 1}}}, r"expected text at parts\.a\.name, found 3"),
        ({"parts": {"a": {"name": "", "share": True}}}, r"a number at parts\.a\.share, found true"),
        ({"parts": {"a": {"name": "", "share": 2}}}, r"in parts\.a: share must be at most 1"),
        ({"parts": {"a": {"name": "", "share": 1, "seeds": [0, 1.5]}}}, r"integer at parts\.a\.seeds\[1\]"),
        ({"parts": {"a": {"name": "", "share": 1, "seeds": [2**63]}}}, "found a number that is too large"),
        ({"range": [1]}, "expected 2 values at range, found 1"),
        ({"range": [0, math.nan]}, r"a finite number at range\[1\], found NaN"),
        ({"range": [0, 1e101]}, r"a finite number at range\[1\], found 1e\+101"),
        ({"loss": "\x1b[2J"}, r"expected a number at loss, found text '\\x1b\[2J'"),
        ({"more": [10**400]}, r"a finite number at more\[0\], found a number that is too large"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(tmp_path, change, message):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(errors.UserError, match=message) as caught:
        checked_json.read(Whole, path, "write it again")
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("write it again")


@given(
    st.sampled_from([float, str, int, bool]),
    st.lists(st.one_of(st.floats(), st.integers(-(10**120), 10**120), st.booleans(), st.none(), st.text())),
)
def test_a_list_is_checked_as_its_items_are(kind, items):
    def outcome(parse):
        try:
            return [(type(each), each) for each in parse()]
        except checked_json.Invalid as error:
            return str(error).rpartition(" at ")[0] + str(error).partition(", found")[2]

    alone = outcome(lambda: [checked_json.parse(kind, item, "x") for item in items])
    assert outcome(lambda: checked_json.parse(tuple[kind, ...], items, "x")) == alone
    plain = outcome(lambda: [checked_json.parse(Any, item, "x") for item in items])
    assert outcome(lambda: checked_json.parse(Any, items, "x")) == plain


def test_the_first_type_that_fits_is_taken():
    kind = str | tuple[str, ...]
    assert checked_json.parse(kind, "a") == "a"
    assert checked_json.parse(kind, ["a", "b"]) == ("a", "b")
    assert checked_json.parse(kind | None, None) is None
    with pytest.raises(checked_json.Invalid, match="expected a list at x, found 3"):
        checked_json.parse(kind, 3, "x")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe\x00", b"[" * 200 + b"]" * 200, b"[" * 10**6, b'{"a":' * 9999, b"9" * 5000],
)
def test_a_file_that_is_not_plain_json_is_refused(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(errors.UserError, match=r"file\.json cannot be read") as caught:
        checked_json.load(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.UserError, match=r"nowhere\.json: expected a file, found none"):
        checked_json.load(tmp_path / "nowhere.json")


def test_a_changed_digit_in_a_sealed_object_is_seen(tmp_path):
    path = tmp_path / "scores.json"
    for value in (checked_json.sealed({"value": 0.25, "n": 3}), [checked_json.sealed({"value": 0.25})]):
        path.write_text(json.dumps(value))
        assert checked_json.load(path) == value
        path.write_text(path.read_text().replace("0.25", "0.75"))
        with pytest.raises(errors.UserError, match="does not match its sha256"):
            checked_json.load(path)
