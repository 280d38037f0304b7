"""Small classes and functions that the tests of strict gin compose."""

import dataclasses
import enum
from collections.abc import Callable

import equinox as eqx


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Loose:
    dim: int = 1


@dataclasses.dataclass(frozen=True)
class Tower:
    dim: int = 4
    kind: str = "plain"


@dataclasses.dataclass(frozen=True)
class Head:
    width: int
    rate: float = 0.1
    colour: Colour = Colour.RED


class Objective(eqx.Module):
    weight: float
    total: int

    def __init__(self, weight: float = 1.0, *, dims: int, key: int):
        self.weight, self.total = weight, dims + key


def loose(width: int = 1, **others: int) -> tuple:
    return (width, others)


def loss(x: float, *, scale: float = 1.0, power: int) -> float:
    return scale * x**power


@dataclasses.dataclass(frozen=True)
class Stage:
    steps: int
    tower: Tower = Tower()
    head: Head | None = None
    objective: Callable | None = None
    names: tuple[str, ...] = ()
    fast: bool = False

    def __post_init__(self) -> None:
        if self.steps <= 0:
            raise ValueError(f"steps must be positive, got {self.steps}")


@dataclasses.dataclass(frozen=True)
class Experiment:
    stages: tuple[Stage, ...]
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Ablation:
    arms: dict[str, Experiment]
    seeds: tuple[int, ...] = (0,)


# Functions that say how they were called: the same for gin's evaluation and for ours.
def root(a: object = None, b: object = None) -> tuple:
    return ("root", a, b)


def first(a: object = None, b: object = None) -> tuple:
    return ("first", a, b)


def second(a: object = None, b: object = None) -> tuple:
    return ("second", a, b)


def third(a: object = None, b: object = None) -> tuple:
    return ("third", a, b)
