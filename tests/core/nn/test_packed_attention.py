"""Attention on packed tokens gives the numbers and gradients of attention through their grid."""

import functools
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core.nn import layers, packed_attention, packing
from prismlab.core.parallel import mesh
from prismlab.experiments.plan import compile_worker

HEADS, WIDTH = 2, 4
FUSED = functools.partial(packed_attention.in_fused_kernel, interpret=True)


def _drawn(seed, rows, columns, visible, examples=2):
    draws = np.random.default_rng(seed)
    index = np.stack([draws.permutation(rows * columns)[:visible] for _ in range(examples)])
    parts = draws.normal(size=(4, examples, visible, HEADS, WIDTH)).astype(np.float32)
    return jnp.asarray(index, jnp.int32), tuple(map(jnp.asarray, parts))


@functools.partial(jax.jit, static_argnums=(0, 3, 4, 5))
def _run(way, index, parts, rows, columns, cap, absent):
    row, column = absent
    present = (index // columns != row) & (index % columns != column)
    *qkv, weight = parts

    def loss(qkv):
        out = way(*qkv, packing.Grid(index, rows, columns, present), cap)
        # Tokens of padded frames are masked as keys everywhere: their outputs have no meaning.
        out = jnp.where(present[:, :, None, None], out, 0.0)
        return jnp.sum(out * weight), out

    (_, out), slopes = jax.value_and_grad(loss, has_aux=True)(tuple(qkv))
    return out, *slopes


@pytest.mark.parametrize("shape", [pytest.param((1, 6, 6, 0.0), marks=pytest.mark.long), (3, 4, 7, 2.0)])
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999), st.sampled_from([(-1, -1), (0, -1), (1, -1), (-1, 1), (1, 0)]))
def test_packed_tokens_give_the_numbers_and_gradients_of_the_grid(shape, seed, absent):
    rows, columns, visible, cap = shape
    index, parts = _drawn(seed, rows, columns, visible)
    ways = (packed_attention.through_grid, packed_attention.on_packed_tokens, FUSED)
    grid, *packed = (_run(way, index, parts, rows, columns, cap, absent) for way in ways)
    for each in packed:
        for ours, theirs in zip(each, grid):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_kernel_gives_finite_gradients_for_tokens_of_a_row_without_keys():
    # All tokens of the row attend to each other then: their outputs have no meaning, gradients stay those of
    # a softmax, and no other row sees them.
    index, parts = _drawn(5, 3, 4, 12)
    *qkv, weight = parts

    @jax.jit
    def run(absent):
        grid = packing.Grid(index, 3, 4, index // 4 != absent)
        outputs, slopes = jax.vjp(lambda *qkv: FUSED(*qkv, grid, 0.0), *qkv)
        return outputs, slopes(weight)

    alone, all_present = run(1), run(-1)
    np.testing.assert_allclose(alone[0], all_present[0], atol=1e-5)
    for ours, theirs in zip(alone[1], all_present[1]):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("cap", [pytest.param(0.0, marks=pytest.mark.slow), 50.0])
def test_a_layer_that_pads_its_tokens_for_the_kernel_gives_the_numbers_of_one_that_does_not(cap, monkeypatch):
    layer = layers.Attention(8, HEADS, logit_cap=cap, key=jax.random.key(0))
    x, weight = jax.random.normal(jax.random.key(1), (2, 2, 7, 8))
    index, _ = _drawn(3, 3, 4, 7)
    grid = packing.Grid(index, 3, 4, index != 5)

    def loss(layer, x):
        out = jnp.where(grid.present[:, :, None], layer(x, layout=grid), 0.0)
        return jnp.sum(out * weight), out

    def run():  # each time traced and compiled again
        return eqx.filter_jit(jax.value_and_grad(lambda *given: loss(*given), argnums=(0, 1), has_aux=True))(
            layer, x
        )

    plain = run()
    seen = []

    def kernel(query, *rest):
        seen.append(query.shape)
        return FUSED(query, *rest)

    monkeypatch.setattr(packed_attention, "positions", lambda layout, heads, width: 128)
    monkeypatch.setattr(packed_attention, "in_fused_kernel", kernel)
    padded = run()
    assert seen[0] == (2, 128, HEADS, 4)
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-5), padded, plain)


@pytest.mark.parametrize(("tokens", "rows", "columns", "wanted"), [(717, 8, 256, 768), (1024, 8, 256, 1024)])
def test_only_a_program_for_a_tpu_pads_the_tokens(tokens, rows, columns, wanted):
    grid = packing.Grid(jnp.zeros((2, tokens), jnp.int32), rows, columns)
    assert packed_attention.positions(grid, 16, 88) == tokens
    with mesh.planned("tpu"):
        assert packed_attention.positions(grid, 16, 88) == wanted
        assert (
            packed_attention.positions(grid, 16, 90) == tokens
        )  # a head width that the kernel does not take


@pytest.mark.parametrize(
    ("tokens", "rows", "columns", "packed"),
    [
        (717, 8, 256, True),  # spatial half of stage 2, 35% of 8 x 256 tokens
        (717, 256, 8, False),  # its temporal half
        (1024, 8, 256, False),  # stage 1: half of the tokens
        (22, 4, 16, False),  # rows shorter than a tile
    ],
)
def test_shapes_decide_whether_accelerators_attend_on_packed_tokens(tokens, rows, columns, packed):
    struct = jax.ShapeDtypeStruct((2, tokens), jnp.int32)
    parts = [jax.ShapeDtypeStruct((2, tokens, HEADS, WIDTH), jnp.float32)] * 3

    def run(index, *parts):
        return packed_attention.attend(*parts, packing.Grid(index, rows, columns), 50.0)

    logits = f"tensor<2x{HEADS}x{tokens}x{tokens}xf32>"
    for platform in ("cpu", "tpu", "cuda"):
        text = jax.jit(run).trace(struct, *parts).lower(lowering_platforms=(platform,)).as_text()
        assert (logits in text) == (packed and platform != "cpu"), platform
    assert (
        packed_attention.favours_packed(packing.Grid(jnp.zeros((2, tokens), jnp.int32), rows, columns))
        == packed
    )


@pytest.mark.parametrize(
    ("tokens", "rows", "columns", "fused"),
    [(717, 8, 256, True), (717, 256, 8, True), (1024, 8, 256, False), (600, 8, 100, False)],
)
def test_shapes_decide_whether_a_tpu_attends_on_packed_tokens_in_the_kernel(tokens, rows, columns, fused):
    struct = jax.ShapeDtypeStruct((2, tokens), jnp.int32)
    parts = [jax.ShapeDtypeStruct((2, tokens, 1, 8), jnp.float32)] * 3

    def run(index, *parts):
        return packed_attention.attend(*parts, packing.Grid(index, rows, columns), 50.0)

    for platform in ("cpu", "tpu", "cuda"):
        text = jax.jit(run).trace(struct, *parts).lower(lowering_platforms=(platform,)).as_text()
        assert ("tpu_custom_call" in text) == (fused and platform == "tpu"), platform


@pytest.mark.slow
@pytest.mark.tpu
def test_the_student_at_32_clips_a_chip_compiles_to_machine_code(monkeypatch):
    # Through the grid, libtpu rewrites attention over 256 rows of 256 masked keys to a kernel that fails.
    pytest.importorskip("libtpu", reason="the optional extra `tpu` is not installed")
    from jax.experimental import topologies

    for name in (*compile_worker.ENVIRONMENT, "XLA_FLAGS"):
        monkeypatch.setenv(name, "")  # restored after the test
    compile_worker.prepare(os.environ)
    devices = topologies.get_topology_desc(topology_name="v5p:2x2x1", platform="tpu").devices
    where = jax.sharding.SingleDeviceSharding(devices[0])
    index = jax.ShapeDtypeStruct((32, 717), jnp.int32, sharding=where)
    part = jax.ShapeDtypeStruct((32, 717, 12, 64), jnp.bfloat16, sharding=where)

    def run(index, *parts):
        return packed_attention.attend(*parts, packing.Grid(index, 8, 256), 50.0)

    assert jax.jit(run).lower(index, part, part, part).compile().as_text()
