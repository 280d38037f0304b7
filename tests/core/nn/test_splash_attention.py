"""The fused kernel gives the numbers and gradients of plain attention, and says what it does not take."""

import functools
import logging
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core.nn import attention, splash_attention
from prismlab.core.parallel import mesh as meshes
from prismlab.experiments.cost import flops
from prismlab.experiments.plan import compile_worker

WIDTH = 8
FUSED = functools.partial(splash_attention.attend, interpret=True)


def _drawn(seed, rows, length, heads, dtype=np.float32):
    draws = np.random.default_rng(seed)
    parts = [jnp.asarray(draws.normal(size=(rows, length, heads, WIDTH)), dtype) for _ in range(4)]
    ids = jnp.asarray(draws.integers(0, 3, size=(2, rows, length)), jnp.int32)
    # Every query has a key in its segment.
    return parts, (ids[0], ids[1].at[:, :3].set(jnp.arange(3)))


@functools.partial(jax.jit, static_argnums=(0, 3))
def _run(way, parts, segments, cap):
    *qkv, weight = parts

    def loss(qkv):
        if way == "fused":
            out = FUSED(*qkv, cap, segments)
        else:
            allowed = (
                None if segments is None else segments[0][:, None, :, None] == segments[1][:, None, None]
            )
            out = attention.attend_whole(*qkv, allowed, cap)
        return jnp.sum(out.astype(jnp.float32) * weight), out

    (_, out), slopes = jax.value_and_grad(loss, has_aux=True)(tuple(qkv))
    return out, *slopes


@pytest.mark.parametrize(
    "shape",
    [
        # One block, a padded one, and two with segments of which the second is padded.
        pytest.param((1, 128, 2, 0.0, False), marks=pytest.mark.long),
        pytest.param((2, 20, 1, 2.0, False), marks=pytest.mark.long),
        (2, 140, 1, 50.0, True),
    ],
)
@settings(max_examples=4, deadline=None)
@given(st.integers(0, 999))
def test_the_kernel_gives_the_numbers_and_gradients_of_plain_attention(shape, seed):
    rows, length, heads, cap, segmented = shape
    parts, segments = _drawn(seed, rows, length, heads)
    segments = segments if segmented else None
    for ours, theirs in zip(*(_run(way, parts, segments, cap) for way in ("fused", "plain"))):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.long
def test_in_bfloat16_the_kernel_is_as_near_to_float32_as_plain_attention():
    parts, segments = _drawn(0, 2, 20, 1, jnp.bfloat16)
    exact = _run("plain", [part.astype(jnp.float32) for part in parts], segments, 2.0)
    for ours, theirs in zip(_run("fused", parts, segments, 2.0), exact):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(
            ours.astype(jnp.float32), theirs, atol=2**-6 * float(jnp.abs(theirs).max())
        )


@pytest.mark.parametrize(
    ("length", "padded", "block", "held"),
    [(717, 768, 384, 768), (2048, 2048, 512, 2048), (4096, 4096, 512, 2048), (513, 768, 384, 768),
     (1024, 1024, 512, 1024), (200, 256, 256, 256), (8000, 8192, 512, 2048)],
)  # fmt: skip
def test_blocks_divide_the_padded_length(length, padded, block, held):
    assert splash_attention.padded_length(length) == padded
    assert splash_attention.blocks(padded, 2) == (block, held)
    assert splash_attention.blocks(padded, 4)[1] <= splash_attention.HELD[4]


@pytest.mark.parametrize(
    ("query", "keys", "told"),
    [
        ((2, 2048, 8, 64), 2048, None),
        ((2, 2048, 16, 88), 2048, None),
        ((2, 2048, 8, 60), 2048, "a head width of 60; it takes multiples of 8 up to 128"),
        ((2, 2048, 8, 256), 2048, "a head width of 256; it takes multiples of 8 up to 128"),
        ((2, 16384, 8, 64), 16384, "16384 positions; it takes 512 to 8192"),
        ((2, 2048, 8, 64), 1024, "2048 queries for 1024 keys; it takes as many queries as keys"),
        ((3, 2048, 8, 64), 2048, "3 rows and 8 heads, which 2 x 2 devices do not divide"),
    ],
)
def test_what_the_kernel_does_not_take_is_one_line_in_the_log(caplog, query, keys, told):
    splash_attention._tell.cache_clear()
    mesh = jax.sharding.AbstractMesh((1, 2, 2), ("replica", "data", "model"))
    with caplog.at_level(logging.INFO), jax.sharding.use_abstract_mesh(mesh):
        assert splash_attention.takes(query, keys) == splash_attention.takes(query, keys) == (told is None)
    lines = [each.getMessage() for each in caplog.records]
    where = "attention on a TPU without the fused kernel, which does not take "
    assert lines == ([] if told is None else [where + told])


@pytest.mark.long
def test_rows_and_heads_split_over_devices_give_the_numbers_of_one_device():
    parts, segments = _drawn(3, 2, 20, 2)
    for layout in (meshes.Layout(data=2), meshes.Layout(data=1, model=2)):
        mesh = layout.make(jax.devices()[:2])
        with meshes.within(mesh):
            out = jax.jit(lambda *p: FUSED(*p, 2.0, segments))(*jax.device_put(parts[:3], meshes.whole(mesh)))
        np.testing.assert_allclose(out, _run("plain", parts, segments, 2.0)[0], atol=1e-5)


def test_the_formula_counts_the_products_of_the_kernel():
    # What is traced: bodies of the kernels, times their grids.
    rows, heads, length, width = 2, 3, 300, WIDTH
    part = jax.ShapeDtypeStruct((rows, length, heads, width), jnp.float32)
    ids = jax.ShapeDtypeStruct((rows, length), jnp.int32)
    forward = lambda q, k, v, s: splash_attention.attend(q, k, v, 50.0, (s, s))
    both = jax.grad(lambda *p: jnp.sum(forward(*p)), argnums=(0, 1, 2))
    padded = splash_attention.padded_length(length)
    count = lambda phase: splash_attention.operations(phase, rows * heads, padded, width)
    outside = 2.0 * rows * heads * padded * width  # of outputs and their gradients, backward
    for way, wanted in ((forward, count("fwd")), (both, count("fwd") + count("dkv") + outside)):
        assert flops.products(jax.make_jaxpr(way)(part, part, part, ids)) == {"float32": wanted}


def test_keys_and_values_are_read_once_while_they_are_held():
    again = splash_attention.bytes_read_again
    assert again("fwd", 16, 2048, 64, 2) == again("dkv", 16, 2048, 64, 2) == 0
    # 4096 positions: 8 blocks of queries read K and V, two parts of the keys read Q, dO and two numbers each.
    one = 16 * 4096 * 64 * 2
    assert again("fwd", 16, 4096, 64, 2) == 7 * 2 * one
    assert again("dkv", 16, 4096, 64, 2) == 2 * one + 2 * 16 * 8 * 4096 * 4


@pytest.mark.slow
@pytest.mark.tpu
@pytest.mark.parametrize("slice_", ["v5e:2x2", "v5p:2x2x1", "v6e:2x2"])
@pytest.mark.parametrize(
    ("length", "heads", "width", "dtype", "segmented"),
    [
        (2048, 8, 64, "bfloat16", False),  # decoders
        (717, 12, 64, "bfloat16", True),  # the student of videoprism_base.gin
        (717, 16, 88, "bfloat16", True),  # and of videoprism_giant.gin
        (2048, 8, 128, "bfloat16", True),
        (2048, 8, 128, "float32", True),
        (8192, 8, 128, "bfloat16", True),
        (8192, 8, 128, "float32", False),
    ],
)
def test_both_passes_compile_to_machine_code(slice_, length, heads, width, dtype, segmented, monkeypatch):
    pytest.importorskip("libtpu", reason="the optional extra `tpu` is not installed")
    from jax.experimental import topologies

    for name in (*compile_worker.ENVIRONMENT, "XLA_FLAGS"):
        monkeypatch.setenv(name, "")  # restored after the test
    compile_worker.prepare(os.environ)
    devices = topologies.get_topology_desc(topology_name=slice_, platform="tpu").devices
    where = jax.sharding.SingleDeviceSharding(devices[0])
    part = jax.ShapeDtypeStruct((2, length, heads, width), dtype, sharding=where)
    ids = jax.ShapeDtypeStruct((2, length), jnp.int32, sharding=where)

    def loss(q, k, v, ids):
        out = splash_attention.attend(q, k, v, 50.0, (ids, ids) if segmented else None)
        return jnp.sum(jnp.square(out.astype(jnp.float32)))

    compiled = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(part, part, part, ids).compile()
    assert "splash_mha_fwd" in compiled.as_text()
    assert "splash_mha_dkv" in compiled.as_text()


def test_short_rows_are_left_to_the_compiler_without_a_word(caplog):
    with caplog.at_level(logging.INFO):
        assert not splash_attention.takes((2, 256, 8, 64), 256)
    assert not caplog.records
