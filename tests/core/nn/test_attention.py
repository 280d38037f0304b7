"""Long rows in pieces: the numbers and gradients of the whole matrix, without the whole matrix."""

import functools
import sys
import types

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core.nn import attention, transformer_stack


def _parts(rows, length, keys, heads=2, width=4):
    draw = lambda i, n: jax.random.normal(jax.random.key(i), (rows, n, heads, width))
    return draw(0, length), draw(1, keys), draw(2, keys)


@pytest.mark.parametrize(
    ("length", "keys", "size", "cap", "mask"),
    [
        (12, 9, 4, 50.0, "none"),
        (11, 9, 4, 2.0, "pairs"),
        pytest.param(5, 7, 8, 0.0, "keys", marks=pytest.mark.slow),
        (7, 7, 1, 50.0, "shared"),
    ],
)
def test_pieces_give_the_numbers_and_gradients_of_the_whole(length, keys, size, cap, mask):
    parts = _parts(2, length, keys)
    shape = {"keys": (2, 1, 1, keys), "pairs": (2, 1, length, keys), "shared": (1, 1, length, keys)}
    allowed = None if mask == "none" else jax.random.bernoulli(jax.random.key(9), 0.7, shape[mask])

    def both(attend):
        def loss(parts):
            out = attend(*parts, allowed, cap)
            return jnp.sum(jnp.sin(out)), out

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(parts)

    (_, whole), whole_slopes = both(attention.attend_whole)
    (_, pieces), slopes = both(functools.partial(attention.attend_in_pieces, size=size))
    np.testing.assert_allclose(pieces, whole, atol=1e-5)
    for ours, theirs in zip(slopes, whole_slopes):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_no_array_of_a_long_row_is_the_whole_matrix(pass_):
    def run(x):
        block = transformer_stack.Block(8, 2, 16, key=jax.random.key(0))
        return jnp.sum(block(x))

    whole = 2 * 4096 * 4096
    traced = jax.make_jaxpr(run if pass_ == "forward" else jax.grad(run))(jnp.zeros((1, 4096, 8)))
    assert _largest(traced.jaxpr) <= max(attention.PIECE, 4096 * 16 * 2) < whole


def _largest(jaxpr):
    sizes = [np.prod(each.aval.shape, dtype=np.int64) for line in jaxpr.eqns for each in line.outvars]
    for line in jaxpr.eqns:
        sizes += [_largest(inner) for inner in jax.extend.core.jaxprs_in_params(line.params)]
    return max(sizes, default=0)


def test_a_piece_keeps_to_its_budget():
    for rows, heads, keys in [(1, 12, 4096), (2, 12, 4096), (8, 16, 2048)]:
        size = attention.queries_a_piece(rows, heads, keys)
        assert size == 512 or rows * heads * keys * size <= attention.PIECE
    assert attention.queries_a_piece(512, 16, 8192) == attention.FEWEST_QUERIES


def test_activations_in_bfloat16_keep_a_softmax_in_float32():
    parts = [part.astype(jnp.bfloat16) for part in _parts(1, 8, 8)]
    for attend in (attention.attend_whole, functools.partial(attention.attend_in_pieces, size=3)):
        text = str(jax.make_jaxpr(lambda *p, attend=attend: attend(*p, None, 50.0))(*parts))
        assert "bf16" in text
        assert all("f32" in line for line in text.splitlines() if "= exp " in line)
        assert attend(*parts, None, 50.0).dtype == jnp.bfloat16


def test_long_rows_go_to_the_fused_kernel_where_there_is_one(monkeypatch):
    # No GPU here: a stand-in with tokamax's signature shows what would be asked of it, and when.
    asked = []

    def stand_in(query, key, value, *, scale, mask, logits_soft_cap, implementation):
        asked.append((scale, logits_soft_cap, implementation))
        return attention.attend_whole(query, key, value, mask, logits_soft_cap)

    module = types.SimpleNamespace(dot_product_attention=stand_in)
    monkeypatch.setitem(sys.modules, "tokamax", module)
    monkeypatch.setattr(attention, "fused_kernel_at_hand", lambda: True)
    monkeypatch.setattr(attention, "LONG", 64)
    attention.attend(*_parts(1, 7, 9), None, 50.0)
    assert not asked
    attention.attend(*_parts(1, 8, 8), None, 50.0)
    assert asked == [(1.0, 50.0, ("mosaic", "triton", "xla_chunked"))]


def test_on_an_accelerator_a_piece_is_as_large_as_one_device_holds():
    # videoprism_base.gin, stage 2: 4096 clips, 8 heads, 2048 tokens; 64 or 16 clips a chip.
    for chips in (64, 256):
        mesh = jax.sharding.AbstractMesh((1, chips, 1), ("replica", "data", "model"))
        with jax.sharding.use_abstract_mesh(mesh):
            assert attention.sizes_of_pieces(4096, 2048, 8, 2048) == (attention.FEWEST_QUERIES, 512)
    assert attention.sizes_of_pieces(1, 300, 8, 2048) == (300, 300)


def test_the_platform_that_a_program_is_compiled_for_decides_on_its_pieces():
    parts = _parts(4, 1024, 1024)  # 512 queries on both
    ways = (attention.attend, functools.partial(attention.attend_in_pieces, size=16))
    text = str(jax.make_jaxpr(lambda *p: attention.attend(*p, None, 50.0))(*parts))
    assert "platform_index" not in text
    many = [jax.ShapeDtypeStruct((64, 1024, 2, 4), jnp.float32) for _ in range(3)]
    lowered = lambda way, platform: (
        jax.jit(lambda *p: jnp.sum(way(*p, None, 50.0)))
        .trace(*many)
        .lower(lowering_platforms=(platform,))
        .as_text()
    )
    on_cpu, on_accelerator = attention.sizes_of_pieces(64, 1024, 2, 1024)
    assert on_cpu < on_accelerator
    for platform, size in (("cpu", on_cpu), ("tpu", on_accelerator), ("cuda", on_accelerator)):
        text = lowered(ways[0], platform)
        assert f"tensor<64x2x{size}x1024xf32>" in text
        other = on_cpu + on_accelerator - size
        assert f"tensor<64x2x{other}x1024xf32>" not in text


@pytest.mark.parametrize(("width", "masked"), [(8, False), (8, True), (12, False)])
def test_a_tpu_takes_its_kernel_for_long_rows_and_other_platforms_do_not(width, masked):
    parts = [jax.ShapeDtypeStruct((1, 640, 1, width), jnp.float32)] * 3
    allowed = jax.ShapeDtypeStruct((1, 1, 1, 640), jnp.bool_) if masked else None
    run = jax.jit(lambda *p: attention.attend(*p, 50.0)).trace(*parts, allowed)
    for platform in ("cpu", "tpu", "cuda"):
        text = run.lower(lowering_platforms=(platform,)).as_text()
        kernel = platform == "tpu" and width == 8 and not masked
        assert ("tpu_custom_call" in text) == kernel, platform
        assert ("tensor<1x1x640x640xf32>" in text) == (not kernel), platform


def test_a_cpu_gives_the_bits_of_plain_attention_where_a_tpu_takes_its_kernel():
    draw = lambda i: jax.random.normal(jax.random.key(i), (1, 520, 1, 8))
    parts = [draw(i) for i in range(4)]

    def both(way):
        loss = lambda qkv, weight: jnp.sum(way(*qkv, None, 50.0) * weight)
        return jax.jit(jax.value_and_grad(loss))(parts[:3], parts[3])

    ours, theirs = both(attention.attend), both(attention.attend_plain)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), ours, theirs))
