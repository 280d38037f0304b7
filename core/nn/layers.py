"""The layers every tower is made of: linear, layer norm, attention, feed-forward, transformer block.

Numbers follow the official release exactly: norms store their scale zero-centred, logits are capped
before they are masked, the softmax runs in float32. Parameters are float32; each layer casts them to
its input's dtype, so the dtype of activations is decided once, where a tower takes its input.
Only leaves named `kernel` or `w` are matrices that weight decay may touch.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from prismlab.core import errors, keys
from prismlab.core.nn import attention, packing

ACTIVATIONS = ("gelu", "relu")
NORM_POLICIES = ("pre", "post", "post_skip", "primer_hybrid")
attend = attention.attend
MASKED_LOGIT = attention.MASKED_LOGIT


def lecun_normal(
    key: PRNGKeyArray, shape: tuple[int, ...], fan_in: int, scale: float = 1.0
) -> Float[Array, "..."]:
    """Draw a truncated normal of variance scale² / fan_in.

    Args:
        key: a typed JAX key.
        shape: shape of the parameter.
        fan_in: how many inputs are summed into one output.
        scale: factor on the standard deviation.

    Returns:
        float32 array of that shape.
    """
    # Cutting a unit normal at two deviations leaves this deviation, so divide by it.
    return jax.random.truncated_normal(key, -2.0, 2.0, shape) * (
        scale / math.sqrt(fan_in) / 0.8796256610342398
    )


def rows_times(x: Float[Array, "*rows i"], kernel: Float[Array, "i o"]) -> Float[Array, "*rows o"]:
    """Return x @ kernel in x's dtype, as one product of two matrices.

    XLA's CPU backend takes its fast path, forwards and backwards, only for plain matrices: with the
    leading axes merged a training step of a small tower costs half.
    """
    return (x.reshape(-1, x.shape[-1]) @ kernel.astype(x.dtype)).reshape(*x.shape[:-1], kernel.shape[-1])


@jax.custom_jvp
def gelu(x: Float[Array, "*rows d"]) -> Float[Array, "*rows d"]:
    """Return the exact (erf) GELU.

    Its slope is computed beside its value, so the backward pass is one product; deriving jax.nn.gelu
    (by way of erfc) costs three times as much on a CPU. Same numbers to float32's last digits.

    Source: Hendrycks & Gimpel 2016; public release, layers.py.
    """
    return x * (0.5 * (1.0 + jax.lax.erf(x * (0.5**0.5))))


@gelu.defjvp
def _gelu_slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (change,) = primals, tangents
    share = 0.5 * (1.0 + jax.lax.erf(x * (0.5**0.5)))
    return x * share, (share + x * jnp.exp(-0.5 * x * x) * (1.0 / math.sqrt(2.0 * math.pi))) * change


class Linear(eqx.Module):
    """An affine map of the last axis."""

    kernel: Float[Array, "i o"]
    bias: Float[Array, " o"]

    def __init__(self, inputs: int, outputs: int, *, scale: float = 1.0, key: PRNGKeyArray):
        """Draw the kernel (lecun-normal, times scale) and set the bias to zero."""
        self.kernel = lecun_normal(key, (inputs, outputs), inputs, scale)
        self.bias = jnp.zeros(outputs)

    def __call__(self, x: Float[Array, "*rows i"]) -> Float[Array, "*rows o"]:
        """Return x @ kernel + bias in x's dtype."""
        return rows_times(x, self.kernel) + self.bias.astype(x.dtype)


class LayerNorm(eqx.Module):
    """Layer norm whose scale is stored zero-centred and applied as 1 + scale."""

    scale: Float[Array, " d"]
    bias: Float[Array, " d"]

    def __init__(self, dim: int):
        """Start as the plain normalisation."""
        self.scale = jnp.zeros(dim)
        self.bias = jnp.zeros(dim)

    def __call__(self, x: Float[Array, "*rows d"]) -> Float[Array, "*rows d"]:
        """Normalise the last axis (epsilon 1e-6, reductions in x's dtype as in the release)."""
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + 1e-6) * (
            1.0 + self.scale.astype(x.dtype)
        ) + self.bias.astype(x.dtype)


class HeadsIn(eqx.Module):
    """A biased map from tokens to heads."""

    w: Float[Array, "d h k"]
    b: Float[Array, "h k"]

    def __init__(self, dim: int, heads: int, head_dim: int, *, key: PRNGKeyArray):
        """Draw w with fan-in dim."""
        self.w = lecun_normal(key, (dim, heads, head_dim), dim)
        self.b = jnp.zeros((heads, head_dim))

    def __call__(self, x: Float[Array, "*rows d"]) -> Float[Array, "*rows h k"]:
        """Return the heads of every token."""
        heads = rows_times(x, self.w.reshape(self.w.shape[0], -1))
        return heads.reshape(*x.shape[:-1], *self.b.shape) + self.b.astype(x.dtype)


class HeadsOut(eqx.Module):
    """A biased map from heads back to tokens; its matrix is stored [d, h, k] like the others."""

    w: Float[Array, "d h k"]
    b: Float[Array, " d"]

    def __init__(self, dim: int, heads: int, head_dim: int, *, scale: float = 1.0, key: PRNGKeyArray):
        """Draw w with fan-in heads * head_dim, times scale."""
        self.w = lecun_normal(key, (dim, heads, head_dim), heads * head_dim, scale)
        self.b = jnp.zeros(dim)

    def __call__(self, x: Float[Array, "*rows h k"]) -> Float[Array, "*rows d"]:
        """Return the tokens of all heads."""
        joined = x.reshape(*x.shape[:-2], -1)
        return rows_times(joined, self.w.reshape(self.w.shape[0], -1).T) + self.b.astype(x.dtype)


class Attention(eqx.Module):
    """Multi-head attention with biases on all four projections."""

    query: HeadsIn
    key: HeadsIn
    value: HeadsIn
    post: HeadsOut
    dimension_scale: Float[Array, " k"] | None
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
        """Draw the projections.

        Args:
            dim: width of the tokens.
            heads: attention heads.
            hidden_dim: width of all heads together; dim if None.
            logit_cap: see `attend`.
            per_dimension_scale: learn one positive factor per head dimension (the pooler does).
            residual_scale: factor on the first `post.w`.
            key: a typed JAX key.

        Raises:
            UserError: if heads does not divide hidden_dim.
        """
        hidden = dim if hidden_dim is None else hidden_dim
        if hidden % heads:
            raise errors.UserError(
                f"attention: heads must divide the hidden width; got {heads} heads for {hidden}."
            )
        head_dim = hidden // heads
        self.query = HeadsIn(dim, heads, head_dim, key=keys.fold(key, "query"))
        self.key = HeadsIn(dim, heads, head_dim, key=keys.fold(key, "key"))
        self.value = HeadsIn(dim, heads, head_dim, key=keys.fold(key, "value"))
        self.post = HeadsOut(dim, heads, head_dim, scale=residual_scale, key=keys.fold(key, "post"))
        self.dimension_scale = jnp.zeros(head_dim) if per_dimension_scale else None
        self.logit_cap = logit_cap

    def scaled(self, query: Float[Array, "*rows k"]) -> Float[Array, "*rows k"]:
        """Return the query times 1 / sqrt(head width), and times the learned factors if there are any."""
        plain = query.shape[-1] ** -0.5
        if self.dimension_scale is None:
            return query * plain
        # 1.442695041 = 1 / softplus(0): a zero parameter gives the plain scale.
        return query * ((1.442695041 * plain) * jax.nn.softplus(self.dimension_scale.astype(query.dtype)))

    def __call__(
        self,
        x: Float[Array, "r i d"],
        context: Float[Array, "r j d"] | None = None,
        *,
        allowed: Bool[Array, "q 1 #i j"] | None = None,
        layout: packing.Grid | None = None,
    ) -> Float[Array, "r i d"]:
        """Let the places of x look at the places of context.

        Args:
            x: [r, i, d].
            context: [r, j, d]; x itself if None.
            allowed: True where looking is permitted (see `attend`); must be None with a layout.
            layout: where packed tokens stand on a grid. Projections then run on the packed tokens and
                only the attention product sees the grid, whose rows attend separately.

        Returns:
            [r, i, d], after the output projection.
        """
        source = x if context is None else context
        query, key, value = self.scaled(self.query(x)), self.key(source), self.value(source)
        if layout is None:
            return self.post(attend(query, key, value, allowed, self.logit_cap))
        assert allowed is None
        query, key, value = (layout.scatter(part) for part in (query, key, value))
        return self.post(layout.gather(attend(query, key, value, layout.allowed, self.logit_cap)))


class FeedForward(eqx.Module):
    """Two linear maps with a non-linearity between; padded tokens give zero."""

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
        """Draw both maps; residual_scale multiplies the second one's first kernel."""
        if activation not in ACTIVATIONS:
            raise errors.UserError(f"activation must be one of {ACTIVATIONS}; got {activation!r}.")
        self.inner = Linear(dim, hidden_dim, key=keys.fold(key, "inner"))
        self.outer = Linear(hidden_dim, dim, scale=residual_scale, key=keys.fold(key, "outer"))
        self.activation = activation

    def __call__(
        self, x: Float[Array, "b n d"], paddings: Float[Array, "b n"] | None = None
    ) -> Float[Array, "b n d"]:
        """Return outer(activation(inner(x))), 0 where paddings is 1 (gelu is the exact one, with erf)."""
        hidden = self.inner(x)
        hidden = jax.nn.relu(hidden) if self.activation == "relu" else gelu(hidden)
        if paddings is None:
            return self.outer(hidden)
        keep = (1.0 - paddings)[..., None].astype(x.dtype)
        return self.outer(hidden * keep) * keep
