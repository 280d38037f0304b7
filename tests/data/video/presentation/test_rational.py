"""A rational number is the same fraction, whichever version of PyAV gives it."""

import ast
import dataclasses
import pathlib
from fractions import Fraction

import pytest

from prismlab import data
from prismlab.data.video.presentation import rational

NAMES = {"time_base", "average_rate", "guessed_rate", "base_rate", "sample_aspect_ratio", "framerate"}


@dataclasses.dataclass(frozen=True)
class AVRational:
    """The type of PyAV 19: no subclass of Fraction, and its denominator may be 0."""

    numerator: int
    denominator: int = 1


@pytest.mark.parametrize("given", [None, Fraction(0), AVRational(0), AVRational(0, 0), AVRational(1, 0)])
def test_an_unset_value_is_none(given):
    assert rational.exact(given) is None


@pytest.mark.parametrize("kind", [Fraction, AVRational])
def test_the_value_is_kept_exactly(kind):
    found = rational.exact(kind(1001, 30000))
    assert type(found) is Fraction
    # Beyond 32 bits, where FFmpeg's own arithmetic rounds.
    assert found * (2**40 + 1) == Fraction(1001 * (2**40 + 1), 30000)


def test_every_rational_number_of_pyav_is_read_as_a_fraction():
    found = 0
    for path in pathlib.Path(data.__path__[0]).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        read = {each for call in calls if ast.unparse(call.func) == "rational.exact" for each in call.args}
        found += len(read)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or node.attr not in NAMES or node in read:
                continue
            whole = ast.unparse(node)  # av.time_base is an integer
            assert whole == "av.time_base" or isinstance(node.ctx, ast.Store), (
                f"{path.name}:{node.lineno} {whole}"
            )
    assert found
