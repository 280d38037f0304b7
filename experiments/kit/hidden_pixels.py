"""Where the loss of an objective depends on pixels that its mask hides, other than through a target.

A target may depend on hidden pixels; a prediction may not. The value of a loss does not distinguish them, so
its jaxpr is read: a value whose gradient is stopped is a target, and a value that a trained weight is applied
to is part of a prediction.
"""

import inspect
import itertools
import os
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from prismlab.core import types
from prismlab.core.train import objective, objective_state
from prismlab.experiments.kit import objective_case, strategies

Labels = frozenset[str]
# What a value depends on: places that the mask hides; the same with a gradient; an encoding of the student; a
# trained array of the objective.
HIDDEN, OPEN, STUDENT, TRAINED = "hidden", "open", "student", "trained"
READ = "read at "  # and the line where a trained weight is applied to what is hidden
_NONE: Labels = frozenset()
_PRODUCTS = ("dot_general", "conv_general_dilated")


def masked_views(views: Sequence[objective.View]) -> list[objective.View]:
    """Return the views of the student that hide a part of the clip.

    Args:
        views: the views of a learner.
    """
    return [view for view in views if view.tower == "video" and view.mask is not None and not view.teacher]


def hidden_grid(encoded: types.Encoded) -> Bool[np.ndarray, "b t rows columns"]:
    """Return which places of the token grid are not among the tokens of a masked view.

    Args:
        encoded: the encoding of clips of `strategies.FRAMES` and `strategies.SIDE`.
    """
    assert encoded.tokens is not None
    place = np.asarray(encoded.tokens.place)
    hidden = np.ones((len(place), strategies.TOKENS), bool)
    hidden[np.arange(len(place))[:, None], place] = False
    side = strategies.SIDE // strategies.PATCH
    return hidden.reshape(len(place), strategies.FRAMES, side, side)


def pixels_of(grid: Bool[np.ndarray, "b t rows columns"]) -> Bool[np.ndarray, "b t height width 1"]:
    """Return the pixels of places of the token grid.

    Args:
        grid: True at the places.
    """
    return grid.repeat(strategies.PATCH, 2).repeat(strategies.PATCH, 3)[..., None]


def fault(case: objective_case.Case, batch: types.Batch) -> str | None:
    """Return how hidden pixels reach the prediction of an objective, or None.

    Args:
        case: the objective, built.
        batch: a batch of the sizes of `strategies`.
    """
    views = case.tree.views()
    masked = masked_views(views)
    if not masked:
        return None
    seen = case.encode(case.tree, case.teacher, batch)
    found = loss_labels(case, seen, batch)
    if OPEN in found:  # may be of visible pixels only: the gradient itself decides
        for view in masked:
            where = _gradient_at_hidden(case, seen, batch, seen[views.index(view)])
            if where:
                return (
                    f"{case} leaks hidden pixels: its loss has a gradient in pixels of batch.video that "
                    f"{view} hides ({where}), so they may be part of the prediction; predict from the "
                    "encodings alone, and if they are a target, stop its gradient (jax.lax.stop_gradient)"
                )
    lines = sorted(label.removeprefix(READ) for label in found if label.startswith(READ))
    if lines:
        return (
            f"{case} leaks hidden pixels: at {lines[0]} a trained weight is applied to what shows the places "
            f"that {masked[0].mask} hides (batch.video, or a view of the intact clip), so the prediction can "
            "read them there; predict from the masked view alone, compute targets without trained weights, "
            "or list the class in `sees_all` if this is meant"
        )
    return None


def loss_labels(case: objective_case.Case, seen: Sequence[types.Encoded], batch: types.Batch) -> Labels:
    """Return what the loss of an objective depends on.

    Args:
        case: the objective, built.
        seen: the encodings in the order of the learner's views.
        batch: the batch that they encode.
    """
    views, own = case.tree.views(), case.own
    masks = {view.mask for view in masked_views(views)}

    def of_view(view: objective.View) -> Labels:
        shows_more = view.tower == "video" and view.mask not in masks
        return frozenset([HIDDEN] * shows_more + [STUDENT] * (not view.teacher))

    everywhere = lambda tree, labels: jax.tree.map(lambda leaf: labels, tree)
    marks = (
        jax.tree.map(lambda state: _NONE if state else frozenset({TRAINED}), objective_state.mask(own)),
        [everywhere(each, of_view(view)) for view, each in zip(views, seen)],
        eqx.tree_at(lambda batch: batch.video, everywhere(batch, _NONE), frozenset({HIDDEN, OPEN})),
    )
    values = (own, list(seen), batch)
    arrays, static = eqx.partition(values, eqx.is_array)
    given = [mark for mark, leaf in zip(_leaves(marks), jax.tree.leaves(values)) if eqx.is_array(leaf)]

    def loss(arrays: Any) -> Array:
        own, seen, batch = eqx.combine(arrays, static)
        value: Array = own(dict(zip(views, seen)), batch, key=objective_case.KEY)[0].value
        return value

    program = jax.make_jaxpr(loss)(arrays)
    return _outputs(program.jaxpr, given, inspect.getfile(case.kind))[0]


def _leaves(marks: Any) -> list[Labels]:
    found: list[Labels] = jax.tree.leaves(marks, is_leaf=lambda node: isinstance(node, frozenset))
    return found


def _gradient_at_hidden(
    case: objective_case.Case, seen: Sequence[types.Encoded], batch: types.Batch, encoded: types.Encoded
) -> str | None:
    """Return at how many hidden places the loss has a gradient in the pixels, and the first, or None."""

    def loss(video: Float[Array, "b t height width 3"]) -> Any:
        changed = eqx.tree_at(lambda batch: batch.video, batch, video)
        return case.call(case.own, seen, changed, objective_case.KEY)[0].value

    grid = hidden_grid(encoded)
    shown = np.asarray(jax.grad(loss)(batch.video)) * pixels_of(grid)
    b, t, rows, columns = grid.shape
    parts = shown.reshape(b, t, rows, strategies.PATCH, columns, strategies.PATCH, 3)
    reached = np.argwhere((parts != 0).any(axis=(3, 5, 6)))
    if not len(reached):
        return None
    first = "example {}, frame {}, row {}, column {}".format(*reached[0])
    return f"at {len(reached)} of {grid.sum()} hidden places, first in {first}"


def _outputs(program: Any, marks: Sequence[Labels], file: str, line: str | None = None) -> list[Labels]:
    """Return what each output of a jaxpr depends on, given what its inputs depend on.

    Args:
        program: a jaxpr without constants, or whose constants depend on nothing.
        marks: labels of its inputs.
        file: the source file whose lines are named.
        line: the line that calls the program, if it is part of another one.
    """
    known = dict(zip(program.invars, marks, strict=True))
    read = lambda each: _NONE if hasattr(each, "val") else known.get(each, _NONE)
    for equation in program.eqns:
        given = [read(each) for each in equation.invars]
        called = line or _line(equation, file)
        inner = _called(equation, given, file, called)
        found = [_union(given) | _weights_on_hidden(equation, given, called)] if inner is None else inner
        for each, labels in zip(equation.outvars, itertools.cycle(found)):
            no_gradient = equation.primitive.name == "stop_gradient" or not _is_inexact(each)
            known[each] = labels & {HIDDEN} if no_gradient else labels
    return [read(each) for each in program.outvars]


def _union(labels: Sequence[Labels]) -> Labels:
    return _NONE.union(*labels)


def _is_inexact(variable: Any) -> bool:
    dtype = getattr(variable.aval, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def _weights_on_hidden(equation: Any, given: Sequence[Labels], line: str) -> Labels:
    """Return a label if an equation multiplies what is hidden by trained values that know no clip."""
    name = equation.primitive.name
    if name not in (*_PRODUCTS, "mul"):
        return _NONE
    for one, other in itertools.permutations(given[:2], 2):
        # The product of a loss with a temperature is no reading, so a factor must meet the bare pixels.
        bare = HIDDEN in one and (name in _PRODUCTS or STUDENT not in one)
        if bare and TRAINED in other and not other & {HIDDEN, STUDENT}:
            return frozenset({READ + line})
    return _NONE


def _called(equation: Any, given: list[Labels], file: str, line: str) -> list[Labels] | None:
    """Return the labels of the outputs of an equation that holds programs, or None."""
    name, parameters = equation.primitive.name, equation.params
    go = lambda program, marks: _outputs(getattr(program, "jaxpr", program), marks, file, line)
    if name == "scan":
        fixed, carried = _scanned(parameters)
        return _looped(lambda marks: go(parameters["jaxpr"], marks), given, fixed, carried)
    if name == "while":
        skipped, fixed = parameters["cond_nconsts"], parameters["body_nconsts"]
        inner = given[skipped:]
        carried = len(inner) - fixed
        return _looped(lambda marks: go(parameters["body_jaxpr"], marks), inner, fixed, carried)
    if name == "cond":
        branches = [go(each, given[1:]) for each in parameters["branches"]]
        return [_union([given[0], *each]) for each in zip(*branches)]
    held = [each for each in parameters.values() if hasattr(each, "eqns") or hasattr(each, "jaxpr")]
    for each in held:
        if len(getattr(each, "jaxpr", each).invars) == len(given):
            return go(each, given)
    return None


def _scanned(parameters: Any) -> tuple[int, int]:
    """Return how many inputs of a scan are the same in each step, and how many are carried."""
    if "num_consts" in parameters:
        return parameters["num_consts"], parameters["num_carry"]
    fixed, carried, _ = (len(tuple(part.vals)) for part in parameters["ft_in"].unpack())  # JAX 0.12
    return fixed, carried


def _looped(body: Any, given: list[Labels], fixed: int, carried: int) -> list[Labels]:
    """Return the labels of the outputs of a loop: what is carried takes up labels until none is new."""
    marks = list(given)
    while True:
        found: list[Labels] = body(marks)
        grown = [old | new for old, new in zip(marks[fixed : fixed + carried], found)]
        if grown == marks[fixed : fixed + carried]:
            return found
        marks[fixed : fixed + carried] = grown


def _line(equation: Any, file: str) -> str:
    """Return the innermost line of a source file that led to an equation, as name:line."""
    trace = equation.source_info.traceback
    frames = () if trace is None else trace.frames
    own = os.path.realpath(file)
    for frame in frames:
        if os.path.realpath(frame.file_name) == own:
            return f"{os.path.basename(own)}:{frame.line_num}"
    return os.path.basename(own)
