"""Estimate memory, FLOPs and traffic of a training step from its jaxpr, without compiling.

The forward and backward pass is traced with the clips of one chip, so values have their size per chip.
Two costs are underestimated: contrastive logits, which span the global batch, and the additional forward
pass when a contrastive batch is accumulated.
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
    """Estimated cost of one step of a stage.

    Args:
        groups: bytes per chip of parameters, optimizer, teacher, batch and activations.
        products: dtype -> FLOPs of a step on one chip, including rematerialization.
        model_products: dtype -> the minimum over all rematerialization policies and platforms.
        memory_bytes: lower bound on memory traffic: operands and results of matrix products, and the state.
        sent: bytes that a chip sends for sharded parameters and gradients.
    """

    groups: dict[str, float]
    products: dict[str, float]
    model_products: dict[str, float]
    memory_bytes: float
    sent: float

    @property
    def bytes(self) -> float:
        """Total bytes of memory per chip."""
        return sum(self.groups.values())


def of(
    stage: recipe.Stage,
    built: Any,
    chips: int,
    clips: int,
    remat: str | None = None,
    accumulate: int = 1,
    platform: str | None = None,
) -> Estimate:
    """Estimate the cost of one step of a stage.

    Args:
        stage: the configuration.
        built: abstract learners.
        chips: number of chips.
        clips: clips per chip and step.
        remat: rematerialization policy; None keeps the configured one.
        accumulate: number of gradient accumulation steps; each processes clips / accumulate clips per chip.
        platform: platform of the chips, see `chips.Chip.platform`; None: the cheapest, see `flops`.

    Raises:
        UserError: the mesh does not divide the number of chips.
    """
    sizes = dict(zip(mesh.AXES, stage.run.layout.sizes(chips)))
    part = clips / accumulate
    graph = measured(stage, remat, built, part, platform)
    plain = fewest(stage, built, part)
    share = accumulate / sizes["model"]
    times = lambda found: {dtype: share * count for dtype, count in found.items()}
    state, teacher = _shapes(stage, built)
    held = groups(stage, state, teacher, sizes)
    gradients = held["parameters"] * (1 if accumulate == 1 else 2)
    whole = abstract_step.bytes_of(state.learner)
    # The trace has unsharded gradients; a chip keeps only its shard.
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
    """Return abstract state and teacher, cached by stage."""
    if id(stage) not in _SHAPES:
        # Keep a reference to the stage, so that its id is not reused.
        _SHAPES[id(stage)] = (
            abstract_step.state_of(stage, built),
            abstract_step.teacher_of(stage, built),
            stage,
        )
    return _SHAPES[id(stage)][:2]


def groups(stage: recipe.Stage, state: Any, teacher: Any, sizes: dict[str, int]) -> dict[str, float]:
    """Return the bytes per chip of parameters, optimizer state and teacher under the sharding rules."""
    return {
        "parameters": split_bytes(state, sizes, stage.run.rules, "learner/"),
        "optimizer": split_bytes(state, sizes, stage.run.rules, "opt_state/"),
        "teacher": 0.0 if teacher is None else split_bytes(teacher, sizes, stage.run.rules, ""),
    }


def split_bytes(tree: Any, sizes: dict[str, int], rules: sharding.Rules, under: str) -> float:
    """Return the bytes per chip of the arrays of a tree whose path starts with `under`."""
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
    """Costs of one traced step.

    Args:
        products: dtype -> FLOPs.
        bytes: bytes that matrix products read and write.
        peak: peak bytes of live values.
    """

    products: dict[str, float]
    bytes: float
    peak: float


# All costs are affine in the number of clips, except the small contrastive logits: two traces suffice.
TRACED = (16, 64)
_MEASURES: dict[tuple, Measure] = {}
_GRAPHS: dict[tuple, tuple[Any, Any]] = {}


def measured(
    stage: recipe.Stage, remat: str | None, built: Any, clips: float, platform: str | None = None
) -> Measure:
    """Return the costs of the forward and backward pass on one chip, interpolated between two traces.

    Args:
        stage: the configuration.
        remat: rematerialization policy; None keeps the configured one.
        built: abstract learners, as configured.
        clips: clips per chip.
        platform: as in `of`.
    """
    remat = remat or variants.remat_of(stage)
    low, high = (_traced(stage, remat, built, size, platform) for size in TRACED)
    share = (clips - TRACED[0]) / (TRACED[1] - TRACED[0])
    between = lambda a, b: max(0.0, a + share * (b - a))
    return Measure(
        {dtype: between(low.products.get(dtype, 0.0), count) for dtype, count in high.products.items()},
        between(low.bytes, high.bytes),
        between(low.peak, high.peak),
    )


def fewest(stage: recipe.Stage, built: Any, clips: float) -> dict[str, float]:
    """Return dtype -> model FLOPs: the minimum over all rematerialization policies and platforms.

    These can be fewer than with remat="none": if a layer is traced as one piece, products that no gradient
    needs are eliminated, whereas a scan over layers keeps them.

    Args:
        stage: the configuration.
        built: abstract learners, as configured.
        clips: clips per chip.
    """
    return _least([measured(stage, remat, built, clips).products for remat in variants.REMATS])


def fewest_of_batch(stage: recipe.Stage, built: Any, clips: int) -> dict[str, float]:
    """Return what `fewest` estimates, counted for one number of clips, in a quarter of the traces.

    It traces that number of clips, so that contrastive logits, which grow with its square, are counted as
    they are, and only the policies that can need the fewest products: those that compute none twice.

    Args:
        stage: the configuration.
        built: abstract learners, as configured.
        clips: clips per chip.
    """
    return _least([_traced(stage, remat, built, clips, None).products for remat in variants.NOTHING_TWICE])


def _least(found: list[dict[str, float]]) -> dict[str, float]:
    return {dtype: min(each.get(dtype, 0.0) for each in found) for dtype in found[0]}


def _traced(stage: recipe.Stage, remat: str | None, built: Any, clips: int, platform: str | None) -> Measure:
    mark = (id(stage), remat, clips, platform)
    if mark not in _MEASURES:
        graph = _graph(stage, remat, built, clips, platform)
        _MEASURES[mark] = Measure(
            flops.products(graph, platform),
            flops.product_bytes(graph, platform),
            peak_memory.peak(graph, platform),
        )
    return _MEASURES[mark]


def _graph(stage: recipe.Stage, remat: str | None, built: Any, clips: int, platform: str | None) -> Any:
    # Layers are traced in another way for each platform, see `mesh.platform`.
    platform = None if platform == jax.default_backend() else platform
    mark = (id(stage), remat, clips, platform)
    if mark not in _GRAPHS:
        changed, own = stage, variants.remat_of(stage)
        if own is not None and remat != own:  # the policy is part of the towers
            changed = variants.varied(stage, remat=remat)
            built = {**built, stage.name: variants.rebuilt(changed, built)}
        # Keep the stage, so that its id is not reused.
        with mesh.planned(platform):
            _GRAPHS[mark] = (abstract_step.traced(changed, built, clips), stage)
    return _GRAPHS[mark][0]
