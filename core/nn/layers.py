"""Basic layers of the towers: linear, layer norm, GELU, multi-head attention, feed-forward.

Numerics match the official release: layer norms store a zero-centred scale, logits are capped before
masking, and the softmax runs in float32. Parameters are float32; each layer casts them to its input's
dtype, so the activation dtype is set once, at the input of a tower.
Weight decay applies only to leaves named `kernel` or `w`.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from prismlab.core import errors, keys, weight_decay
from prismlab.core.nn import attention, packed_attention, packing
from prismlab.core.parallel import mesh

ACTIVATIONS = ("gelu", "relu", "quick_gelu")
EPSILON = 1e-6  # of layer norms in the release
NORM_POLICIES = ("pre", "post", "post_skip", "primer_hybrid")
attend = attention.attend
MASKED_LOGIT = attention.MASKED_LOGIT


def lecun_normal(
    key: PRNGKeyArray, shape: tuple[int, ...], fan_in: int, scale: float = 1.0
) -> Float[Array, "..."]:
    """LeCun normal initializer: a truncated normal of variance scale² / fan_in.

    Args:
        key: a typed JAX key.
        shape: shape of the parameter.
        fan_in: number of inputs summed into one output.
        scale: factor on the standard deviation.

    Returns:
        float32 array of that shape.
    """
    # Standard deviation of a unit normal truncated at two standard deviations.
    return jax.random.truncated_normal(key, -2.0, 2.0, shape) * (
        scale / math.sqrt(fan_in) / 0.8796256610342398
    )


def rows_times(x: Float[Array, "*rows i"], kernel: Float[Array, "i o"]) -> Float[Array, "*rows o"]:
    """Matrix product over the last axis, x @ kernel in x's dtype.

    XLA's CPU backend has a fast path for plain 2D matrix products only; flattening the leading axes
    halves the training step time of a small tower. On a TPU, flattening copies the array unless the second
    to last axis is a multiple of a tile of 8 rows, which the 717 visible tokens of stage 2 are not.
    """
    kernel = kernel.astype(x.dtype)
    if mesh.platform() == "tpu":
        return x @ kernel
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


@jax.custom_jvp
def gelu(x: Float[Array, "*rows d"]) -> Float[Array, "*rows d"]:
    """Exact (erf) GELU activation with a custom derivative.

    The derivative is computed with the value, so the backward pass is one multiplication; differentiating
    jax.nn.gelu (which uses erfc) costs three times as much on a CPU. Equal up to float32 rounding.

    Source: Hendrycks & Gimpel 2016; public release, layers.py.
    """
    return x * (0.5 * (1.0 + jax.lax.erf(x * (0.5**0.5))))


@gelu.defjvp
def _gelu_slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (change,) = primals, tangents
    share = 0.5 * (1.0 + jax.lax.erf(x * (0.5**0.5)))
    return x * share, (share + x * jnp.exp(-0.5 * x * x) * (1.0 / math.sqrt(2.0 * math.pi))) * change


def quick_gelu(x: Float[Array, "*rows d"]) -> Float[Array, "*rows d"]:
    """Sigmoid approximation of GELU, x * sigmoid(1.702 x), which CLIP's own weights were trained with.

    Source: Hendrycks & Gimpel 2016; openai/CLIP, model.py.
    """
    return x * jax.nn.sigmoid(1.702 * x)


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "relu": jax.nn.relu,
    "quick_gelu": quick_gelu,
}


class Linear(eqx.Module):
    """Linear layer (affine map) over the last axis."""

    kernel: Float[Array, "i o"]
    bias: Float[Array, " o"] = eqx.field(metadata=weight_decay.UNDECAYED)

    def __init__(self, inputs: int, outputs: int, *, scale: float = 1.0, key: PRNGKeyArray):
        """Initialize the kernel with LeCun normal times scale, and the bias with zeros."""
        self.kernel = lecun_normal(key, (inputs, outputs), inputs, scale)
        self.bias = jnp.zeros(outputs)

    def __call__(self, x: Float[Array, "*rows i"]) -> Float[Array, "*rows o"]:
        """Return x @ kernel + bias in x's dtype."""
        return rows_times(x, self.kernel) + self.bias.astype(x.dtype)


class LayerNorm(eqx.Module):
    """Layer normalization with a zero-centred scale, applied as 1 + scale."""

    scale: Float[Array, " d"] = eqx.field(metadata=weight_decay.UNDECAYED)
    bias: Float[Array, " d"] = eqx.field(metadata=weight_decay.UNDECAYED)
    epsilon: float = eqx.field(static=True)

    def __init__(self, dim: int, epsilon: float = EPSILON):
        """Initialize scale and bias with zeros, which is plain normalization.

        Args:
            dim: width of the tokens.
            epsilon: added to the variance; 1e-6 in the release.
        """
        self.scale = jnp.zeros(dim)
        self.bias = jnp.zeros(dim)
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "*rows d"]) -> Float[Array, "*rows d"]:
        """Normalize the last axis (reductions in x's dtype as in the release)."""
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + self.epsilon) * (
            1.0 + self.scale.astype(x.dtype)
        ) + self.bias.astype(x.dtype)


class HeadsIn(eqx.Module):
    """Linear projection with bias from tokens to attention heads."""

    w: Float[Array, "d h k"]
    b: Float[Array, "h k"] = eqx.field(metadata=weight_decay.UNDECAYED)

    def __init__(self, dim: int, heads: int, head_dim: int, *, key: PRNGKeyArray):
        """Initialize w with LeCun normal, fan-in dim."""
        self.w = lecun_normal(key, (dim, heads, head_dim), dim)
        self.b = jnp.zeros((heads, head_dim))

    def __call__(self, x: Float[Array, "*rows d"]) -> Float[Array, "*rows h k"]:
        """Project tokens [..., d] to heads [..., h, k]."""
        heads = rows_times(x, self.w.reshape(self.w.shape[0], -1))
        return heads.reshape(*x.shape[:-1], *self.b.shape) + self.b.astype(x.dtype)


class HeadsOut(eqx.Module):
    """Linear projection with bias from attention heads back to tokens; w is stored as [d, h, k]."""

    w: Float[Array, "d h k"]
    b: Float[Array, " d"] = eqx.field(metadata=weight_decay.UNDECAYED)

    def __init__(self, dim: int, heads: int, head_dim: int, *, scale: float = 1.0, key: PRNGKeyArray):
        """Initialize w with LeCun normal times scale, fan-in heads * head_dim."""
        self.w = lecun_normal(key, (dim, heads, head_dim), heads * head_dim, scale)
        self.b = jnp.zeros(dim)

    def __call__(self, x: Float[Array, "*rows h k"]) -> Float[Array, "*rows d"]:
        """Project heads [..., h, k] to tokens [..., d]."""
        joined = x.reshape(*x.shape[:-2], -1)
        return rows_times(joined, self.w.reshape(self.w.shape[0], -1).T) + self.b.astype(x.dtype)


class Attention(eqx.Module):
    """Multi-head attention with biases on all four projections."""

    query: HeadsIn
    key: HeadsIn
    value: HeadsIn
    post: HeadsOut
    dimension_scale: Float[Array, " k"] | None = eqx.field(metadata=weight_decay.UNDECAYED)
    logit_cap: float = eqx.field(static=True)

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        hidden_dim: int | None = None,
        logit_cap: float = 50.0,
        per_dimension_scale: bool = False,
        residual_scale: float = 1.0,
        key: PRNGKeyArray,
    ):
        """Initialize the projections.

        Args:
            dim: width of the tokens.
            heads: number of attention heads.
            hidden_dim: total width of all heads; dim if None.
            logit_cap: see `attend`.
            per_dimension_scale: learn one positive query scale per head dimension (used by the pooler).
            residual_scale: factor on the initial `post.w`.
            key: a typed JAX key.

        Raises:
            UserError: if hidden_dim is not divisible by heads.
        """
        hidden = dim if hidden_dim is None else hidden_dim
        if hidden % heads:
            raise errors.UserError(
                f"attention: the hidden width must be divisible by heads; got {heads} heads for {hidden}."
            )
        head_dim = hidden // heads
        self.query = HeadsIn(dim, heads, head_dim, key=keys.fold(key, "query"))
        self.key = HeadsIn(dim, heads, head_dim, key=keys.fold(key, "key"))
        self.value = HeadsIn(dim, heads, head_dim, key=keys.fold(key, "value"))
        self.post = HeadsOut(dim, heads, head_dim, scale=residual_scale, key=keys.fold(key, "post"))
        self.dimension_scale = jnp.zeros(head_dim) if per_dimension_scale else None
        self.logit_cap = logit_cap

    def scaled(self, query: Float[Array, "*rows k"]) -> Float[Array, "*rows k"]:
        """Scale the query by 1 / sqrt(head width) and by the learned per-dimension factors, if any."""
        plain: float = query.shape[-1] ** -0.5
        if self.dimension_scale is None:
            return query * plain
        # 1.442695041 = 1 / softplus(0), so zero-initialized factors give the plain scale.
        return query * ((1.442695041 * plain) * jax.nn.softplus(self.dimension_scale.astype(query.dtype)))

    def __call__(
        self,
        x: Float[Array, "r i d"],
        context: Float[Array, "r j d"] | None = None,
        *,
        allowed: Bool[Array, "q 1 #i j"] | None = None,
        layout: packing.Grid | None = None,
    ) -> Float[Array, "r i d"]:
        """Attend from x (queries) to context (keys, values).

        Args:
            x: [r, i, d].
            context: [r, j, d]; None means self-attention.
            allowed: attention mask (see `attend`); must be None if layout is given.
            layout: token grid of packed tokens. Projections run on the packed tokens; attention runs
                within each row of the grid, see `packed_attention`.

        Returns:
            [r, i, d], after the output projection.
        """
        source = x if context is None else context
        if layout is None:
            query, key, value = self.scaled(self.query(x)), self.key(source), self.value(source)
            return self.post(attend(query, key, value, allowed, self.logit_cap))
        assert allowed is None
        assert context is None
        tokens, padding = x.shape[1], packed_attention.positions(layout, *self.query.b.shape) - x.shape[1]
        if padding:
            x = jnp.pad(x, ((0, 0), (0, padding), (0, 0)))
        query, key, value = self.scaled(self.query(x)), self.key(x), self.value(x)
        out = self.post(packed_attention.attend(query, key, value, layout, self.logit_cap))
        return out[:, :tokens] if padding else out


class FeedForward(eqx.Module):
    """Feed-forward (MLP) layer: linear, activation, linear. Padded tokens output zero."""

    inner: Linear
    outer: Linear
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        *,
        activation: str = "gelu",
        residual_scale: float = 1.0,
        key: PRNGKeyArray,
    ):
        """Initialize both linear layers; residual_scale multiplies the initial kernel of the second one."""
        if activation not in ACTIVATIONS:
            raise errors.UserError(f"activation must be one of {ACTIVATIONS}; got {activation!r}.")
        self.inner = Linear(dim, hidden_dim, key=keys.fold(key, "inner"))
        self.outer = Linear(hidden_dim, dim, scale=residual_scale, key=keys.fold(key, "outer"))
        self.activation = activation

    def __call__(
        self, x: Float[Array, "b n d"], paddings: Float[Array, "b n"] | None = None
    ) -> Float[Array, "b n d"]:
        """Return outer(activation(inner(x))), zero where paddings is 1."""
        hidden = self.inner(x)
        hidden = _FUNCTIONS[self.activation](hidden)
        if paddings is None:
            return self.outer(hidden)
        keep = (1.0 - paddings)[..., None].astype(x.dtype)
        return self.outer(hidden * keep) * keep
