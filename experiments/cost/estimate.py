"""What can be said of a stage on a machine without compiling: memory by group, operations, traffic.

The forward and backward pass is traced with the clips of one chip, so every value in the graph has the
size that it has on that chip; only what couples the whole batch (the contrastive logits) is left small.
Where a contrastive batch is accumulated, its extra forward pass is not counted.
"""

import dataclasses
from typing import Any

import jax

from prismlab.core import trees
from prismlab.core.parallel import mesh, sharding
from prismlab.experiments.cost import abstract_step, flops, peak_memory, roofline, variants
from prismlab.experiments.recipe import recipe


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One stage on one machine.

    Args:
        groups: bytes on one chip: parameters, optimizer, teacher, batch, activations.
        products: dtype -> operations of a step on one chip, recomputation included.
        model_products: the fewest under any policy of recomputation.
        memory_bytes: traffic with memory, a lower bound: operands and results of products, and the state.
        sent: bytes sent for split parameters and gradients.
    """

    groups: dict[str, float]
    products: dict[str, float]
    model_products: dict[str, float]
    memory_bytes: float
    sent: float

    @property
    def bytes(self) -> float:
        """Bytes of memory on one chip."""
        return sum(self.groups.values())


def of(
    stage: recipe.Stage, built: Any, chips: int, clips: int, remat: str | None = None, accumulate: int = 1
) -> Estimate:
    """Estimate a stage.

    Args:
        stage: the configuration.
        built: learners by shape.
        chips: how many there are.
        clips: on one chip, a step.
        remat: policy, or None as configured.
        accumulate: parts that a chip's clips are cut into, one after the other.

    Raises:
        UserError: the layout does not fit so many chips.
    """
    sizes = dict(zip(mesh.AXES, stage.run.layout.sizes(chips)))
    part = clips / accumulate
    graph = measured(stage, remat, built, part)
    plain = fewest(stage, built, part)
    share = accumulate / sizes["model"]
    times = lambda found: {dtype: share * count for dtype, count in found.items()}
    state, teacher = _shapes(stage, built)
    held = groups(stage, state, teacher, sizes)
    gradients = held["parameters"] * (1 if accumulate == 1 else 2)
    whole = abstract_step.bytes_of(state.learner)
    # The trace holds every gradient whole; on a chip only a share of it stays.
    activations = max(0.0, graph.peak - whole) / sizes["model"] + gradients
    held["batch"] = abstract_step.bytes_of(abstract_step.batch_of(stage, clips))
    held["activations"] = activations
    updates = 3 * (held["parameters"] + held["optimizer"])
    return Estimate(
        groups=held,
        products=times(graph.products),
        model_products=times(plain),
        memory_bytes=share * graph.bytes + updates,
        sent=roofline.fsdp_bytes(whole / sizes["model"], sizes["data"], 2 * accumulate)
        + roofline.fsdp_bytes(abstract_step.bytes_of(teacher) / sizes["model"], sizes["data"], 0),
    )


_SHAPES: dict[int, tuple[Any, Any, Any]] = {}


def _shapes(stage: recipe.Stage, built: Any) -> tuple[Any, Any]:
    """Return state and teacher by shape, worked out once a stage."""
    if id(stage) not in _SHAPES:
        # The stage is kept beside them, so that its id stays its own.
        _SHAPES[id(stage)] = (
            abstract_step.state_of(stage, built),
            abstract_step.teacher_of(stage, built),
            stage,
        )
    return _SHAPES[id(stage)][:2]


def groups(stage: recipe.Stage, state: Any, teacher: Any, sizes: dict[str, int]) -> dict[str, float]:
    """Return bytes on one chip of parameters, optimizer memory and teacher, as the rules split them."""
    return {
        "parameters": split_bytes(state, sizes, stage.run.rules, "learner/"),
        "optimizer": split_bytes(state, sizes, stage.run.rules, "opt_state/"),
        "teacher": 0.0 if teacher is None else split_bytes(teacher, sizes, stage.run.rules, ""),
    }


def split_bytes(tree: Any, sizes: dict[str, int], rules: sharding.Rules, under: str) -> float:
    """Return the bytes on one chip of the arrays of a tree whose path begins so."""
    specs = sharding.specs(tree, sizes, rules)
    total = 0.0
    for path, leaf in trees.flatten(tree).items():
        if path.startswith(under):
            parts = 1
            for axis in jax.tree.leaves(tuple(specs[path])):
                parts *= sizes.get(axis, 1)
            total += abstract_step.leaf_bytes(leaf) / parts
    return total


@dataclasses.dataclass(frozen=True)
class Measure:
    """What one trace says.

    Args:
        products: dtype -> operations.
        bytes: that products read and write.
        peak: bytes of values alive at once.
    """

    products: dict[str, float]
    bytes: float
    peak: float


# Every measure is affine in the clips but for the contrastive logits, which are small: two traces tell all.
TRACED = (16, 64)
_MEASURES: dict[tuple, tuple[Measure, Any]] = {}


def measured(stage: recipe.Stage, remat: str | None, built: Any, clips: float) -> Measure:
    """Return what forward and backward pass of so many clips need on one chip.

    Args:
        stage: the configuration.
        remat: policy, or None as configured.
        built: learners by shape, as configured.
        clips: on one chip.
    """
    low, high = (_traced(stage, remat or variants.remat_of(stage), built, size) for size in TRACED)
    share = (clips - TRACED[0]) / (TRACED[1] - TRACED[0])
    between = lambda a, b: max(0.0, a + share * (b - a))
    return Measure(
        {dtype: between(low.products.get(dtype, 0.0), count) for dtype, count in high.products.items()},
        between(low.bytes, high.bytes),
        between(low.peak, high.peak),
    )


def fewest(stage: recipe.Stage, built: Any, clips: float) -> dict[str, float]:
    """Return dtype -> operations that no policy of recomputation does without: those of the model.

    They are not those of remat="none": where a layer is traced as one piece, products that no gradient needs
    are left out, which a loop over layers keeps.

    Args:
        stage: the configuration.
        built: learners by shape, as configured.
        clips: on one chip.
    """
    found = [measured(stage, remat, built, clips).products for remat in variants.REMATS]
    return {dtype: min(each.get(dtype, 0.0) for each in found) for dtype in found[0]}


def _traced(stage: recipe.Stage, remat: str, built: Any, clips: int) -> Measure:
    mark = (id(stage), remat, clips)
    if mark not in _MEASURES:
        changed = stage
        if remat != variants.remat_of(stage):  # the towers themselves carry the policy
            changed = variants.varied(stage, remat=remat)
            built = {**built, stage.name: variants.rebuilt(changed, built)}
        graph = abstract_step.traced(changed, built, clips)
        found = Measure(flops.products(graph), flops.product_bytes(graph), peak_memory.peak(graph))
        _MEASURES[mark] = (found, stage)  # the stage is kept beside it, so that its id stays its own
    return _MEASURES[mark][0]
