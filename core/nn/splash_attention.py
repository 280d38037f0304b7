"""Fused attention for TPUs: Pallas splash attention with logit capping, whole or within segments.

The kernel holds the keys and values of a head in the chip's scratch memory and never writes logits to
device memory, in the forward or the backward pass. Positions are padded with zeros to whole blocks; the
padding is a segment of its own.
"""

import functools
import logging
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from prismlab.core.parallel import mesh as meshes

_log = logging.getLogger(__name__)

# Lengths that the kernel is used for, in positions. The compiler has its own kernel for shorter rows.
SHORTEST, LONGEST = 512, 8192
# The last axis of an array is a multiple of this in a tile.
LANES = 128
# Largest block of queries, and of keys that are compared at once.
BLOCK = 512
# Most positions of which keys and values are held at once, for values of two bytes and of four.
HELD = {2: 2048, 4: 1024}
# Head widths are multiples of 8 up to this: backward, wider blocks exceed the scratch memory.
WIDEST = 128
# Matrix products of one call: logits and output; backward the logits again and gradients of four factors.
PRODUCTS = {"fwd": 2, "dkv": 5}
# Segment of the padding. Segments of callers are at least 0.
PADDING = -1


def padded_length(length: int) -> int:
    """Return the number of positions after padding: a multiple of 128, and of 256 beyond 512."""
    step = LANES if length <= BLOCK else 2 * LANES
    return -(-length // step) * step


def blocks(length: int, bytes_a_value: int) -> tuple[int, int]:
    """Return the positions of a block that are compared at once, and the positions held at once.

    Args:
        length: a padded length.
        bytes_a_value: size of the dtype of queries, keys and values.
    """
    block = max(size for size in range(LANES, min(BLOCK, length) + 1, LANES) if length % size == 0)
    held = HELD.get(bytes_a_value, HELD[4])
    return block, max(
        count * block for count in range(1, max(1, held // block) + 1) if length % (count * block) == 0
    )


def refusal(shape: tuple[int, ...], keys: int, masked: bool = False) -> str:
    """Return why the kernel does not take these shapes on the current mesh, in one line, or "".

    Args:
        shape: of the query: rows, positions, heads, head width.
        keys: number of key positions.
        masked: whether there is an attention mask, other than segments.
    """
    rows, length, heads, width = shape
    if masked:
        return "an attention mask, only segments"
    if keys != length:
        return f"{length} queries for {keys} keys; it takes as many queries as keys"
    if not SHORTEST <= length <= LONGEST:
        return f"{length} positions; it takes {SHORTEST} to {LONGEST}"
    if width % 8 or width > WIDEST:
        return f"a head width of {width}; it takes multiples of 8 up to {WIDEST}"
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return ""
    shards, model = meshes.batch_shards(mesh), mesh.shape.get("model", 1)
    if rows % shards or heads % model:
        return f"{rows} rows and {heads} heads, which {shards} x {model} devices do not divide"
    return ""


def takes(shape: tuple[int, ...], keys: int, masked: bool = False) -> bool:
    """Return whether the kernel takes these shapes; long rows that it does not take are logged once.

    Args:
        shape: of the query: rows, positions, heads, head width.
        keys: number of key positions.
        masked: whether there is an attention mask, other than segments.
    """
    why = refusal(shape, keys, masked)
    if why and min(shape[1], keys) >= SHORTEST:
        _tell(why)
    return not why


@functools.cache
def _tell(why: str) -> None:
    level = logging.WARNING if jax.default_backend() == "tpu" else logging.INFO
    _log.log(level, "attention on a TPU without the fused kernel, which does not take %s", why)


def attend(
    query: Float[Array, "r i h k"],
    key: Float[Array, "r i h k"],
    value: Float[Array, "r i h k"],
    logit_cap: float,
    segments: tuple[Int[Array, "r i"], Int[Array, "r i"]] | None = None,
    *,
    interpret: bool = False,
) -> Float[Array, "r i h k"]:
    """Attend with the fused kernel; arguments that `takes` accepts.

    Args:
        query: [rows, positions, heads, head width], already scaled.
        key: the same shape.
        value: the same shape.
        logit_cap: see `attention.attend`.
        segments: int32 [rows, positions], at least 0, of the queries and of the keys: a query attends to
            the keys of its segment, of which there must be one. None: to all.
        interpret: run the kernel's Python code on any device, for tests.

    Returns:
        The attention output, in value's dtype.
    """
    local = functools.partial(_on_one_device, logit_cap=logit_cap, interpret=interpret)
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return local(query, key, value, segments)
    # A Pallas kernel is not partitioned by the compiler.
    rows = meshes.batch_axes(mesh)
    heads = "model" if "model" in mesh.axis_names else None
    part, ids = PartitionSpec(rows, None, heads, None), PartitionSpec(rows)
    out: Array = jax.shard_map(
        local, mesh=mesh, in_specs=(part, part, part, ids), out_specs=part, check_vma=False
    )(query, key, value, segments)
    return out


def _on_one_device(
    query: Array,
    key: Array,
    value: Array,
    segments: tuple[Array, Array] | None,
    logit_cap: float,
    interpret: bool,
) -> Array:
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as splash

    rows, length, heads, width = query.shape
    padded = padded_length(length)
    after = padded - length

    def ready(part: Array) -> Array:
        return jnp.pad(part.swapaxes(1, 2), ((0, 0), (0, 0), (0, after), (0, 0)))

    parts = tuple(ready(part) for part in (query, key, value))
    size = query.dtype.itemsize
    if segments is None:
        # One call for all rows: their heads are heads of one row.
        kernel = _kernel(rows * heads, padded, size, logit_cap, interpret)
        own = None
        if after:
            ids = jnp.where(jnp.arange(padded) < length, 0, PADDING).astype(jnp.int32)
            own = splash.SegmentIds(ids, ids)
        out = kernel(*(part.reshape(rows * heads, padded, width) for part in parts), own)
        out = out.reshape(rows, heads, padded, width)
    else:
        kernel = _kernel(heads, padded, size, logit_cap, interpret)
        ids_of = lambda ids: jnp.pad(ids, ((0, 0), (0, after)), constant_values=PADDING)
        out = jax.vmap(kernel)(*parts, splash.SegmentIds(*map(ids_of, segments)))
    trimmed: Array = out[:, :, :length].swapaxes(1, 2).astype(value.dtype)
    return trimmed


def _kernel(heads: int, length: int, bytes_a_value: int, logit_cap: float, interpret: bool) -> Any:
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as splash
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    block, held = blocks(length, bytes_a_value)
    return splash.make_splash_mha(
        masks.MultiHeadMask([masks.FullMask((length, length))] * heads),
        block_sizes=splash.BlockSizes(
            block_q=block,
            block_kv=held,
            block_kv_compute=block,
            block_q_dkv=block,
            block_kv_dkv=held,
            block_kv_dkv_compute=block,
            use_fused_bwd_kernel=True,
        ),
        head_shards=1,
        q_seq_shards=1,
        attn_logits_soft_cap=logit_cap or None,
        interpret=interpret,
    )


def operations(phase: str, heads: int, length: int, width: int) -> float:
    """Return the FLOPs of one call, which no compiler counts, masked pairs and padding included.

    Args:
        phase: a key of PRODUCTS, as in the name of the kernel: "fwd", or backward "dkv".
        heads: rows times heads.
        length: positions after padding.
        width: head width.
    """
    return PRODUCTS[phase] * 2.0 * heads * length**2 * width


def bytes_read_again(phase: str, heads: int, length: int, width: int, bytes_a_value: int) -> float:
    """Return the bytes that one call of the kernel reads beyond reading each operand once.

    Zero up to HELD positions. Beyond, every block of queries reads all keys and values; backward, every
    part of the keys reads queries, output gradients, and two float32 values a query, in tiles of 8.

    Args:
        phase: see `operations`.
        heads: see `operations`.
        length: see `operations`.
        width: see `operations`.
        bytes_a_value: size of the dtype of queries, keys and values.
    """
    block, held = blocks(length, bytes_a_value)
    once = 2.0 * heads * length * width * bytes_a_value
    if phase == "fwd":
        return once * (length // block - 1) if held < length else 0.0
    return (once + 2.0 * heads * 8 * length * 4) * (length // held - 1)
