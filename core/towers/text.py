"""Text tower: causal Transformer encoder for captions, pooled by a class token at the end."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import errors, keys, types, weight_decay
from prismlab.core.nn import layers, positions, transformer_stack
from prismlab.core.parallel import mesh
from prismlab.core.towers import presets

WAVELENGTHS = ("release", "transformers")


class TextTower(eqx.Module):
    """Text encoder: token embeddings, sinusoidal positions, Transformer (ReLU), class token at the end, norm.

    Source: VideoPrism appendix C.1 (CoCa's unimodal text decoder); public release, encoders.py.
    """

    inputs: ClassVar[tuple[str, ...]] = ("text_ids", "text_paddings")  # fields of Batch that this tower reads

    token_table: Float[Array, "vocabulary d"] = eqx.field(metadata=weight_decay.UNDECAYED)
    class_token: Float[Array, "1 1 d"] = eqx.field(metadata=weight_decay.UNDECAYED)
    transformer: transformer_stack.Stack
    norm: layers.LayerNorm
    causal: bool = eqx.field(static=True)
    wavelengths: str = eqx.field(static=True)
    dtype: str = eqx.field(static=True)

    def __init__(
        self,
        size: presets.Size,
        vocabulary: int,
        *,
        atten_logit_cap: float = 50.0,
        norm_policy: str = "pre",
        causal: bool = True,
        wavelengths: str = "release",
        scan: bool = True,
        remat: str = "nothing_saveable",
        dtype: str = "float32",
        key: PRNGKeyArray,
    ):
        """Initialize the tower.

        Args:
            size: dim, heads and text_layers are used; the feed-forward width is 4 * dim.
            vocabulary: number of token ids.
            atten_logit_cap: see `layers.attend`.
            norm_policy: "pre"; giant uses "primer_hybrid" (see `transformer_stack.Block`).
            causal: use causal attention.
            wavelengths: position wavelengths, "release" or "transformers". The released weights were trained
                with the former; files that contain the positions of transformers (modeling_videoprism.py, a
                stored buffer there) give slightly different embeddings.
            scan: loop over layers instead of unrolling them.
            remat: rematerialization policy, see `transformer_stack.REMAT_POLICIES`.
            dtype: dtype of activations, "float32" or "bfloat16"; parameters stay float32.
            key: a typed JAX key.

        Raises:
            UserError: for unknown wavelengths.
        """
        if wavelengths not in WAVELENGTHS:
            raise errors.UserError(
                f"wavelengths must be one of {', '.join(WAVELENGTHS)}; got {wavelengths!r}."
            )
        std = 1.0 / math.sqrt(size.dim)
        self.token_table = std * jax.random.normal(keys.fold(key, "token_table"), (vocabulary, size.dim))
        self.class_token = std * jax.random.normal(keys.fold(key, "class_token"), (1, 1, size.dim))
        self.transformer = transformer_stack.Stack(
            size.text_layers,
            size.dim,
            size.heads,
            4 * size.dim,
            activation="relu",
            norm_policy=norm_policy,
            atten_logit_cap=atten_logit_cap,
            scan=scan,
            remat=remat,
            key=keys.fold(key, "transformer"),
        )
        self.norm = layers.LayerNorm(size.dim)
        self.causal = causal
        self.wavelengths = wavelengths
        self.dtype = dtype

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return self.token_table.shape[-1]

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self.token_table.shape[0]

    def sines(self, length: int) -> Float[Array, "length d"]:
        """Return the sinusoidal embeddings of the first `length` positions."""
        return positions.sinusoids(length, self.dim, last_included=self.wavelengths == "release")

    def __call__(self, text_ids: Int[Array, "b l"], text_paddings: Float[Array, "b l"]) -> types.Encoded:
        """Encode captions.

        Args:
            text_ids: int32 [b, l] in [0, vocabulary).
            text_paddings: float32 [b, l], 1.0 where padded.

        Returns:
            Encoded(tokens=[b, l, d] of the words, pooled=[b, d], the class token), after the final norm, not
            L2-normalized.
        """
        batch, length = text_ids.shape
        scale = math.sqrt(self.dim)
        words = mesh.everywhere(self.token_table)[text_ids] * scale + self.sines(length)
        # The class token is last: with a causal mask, it alone attends to the full caption.
        last = jnp.broadcast_to(self.class_token * scale, (batch, 1, self.dim))
        x = jnp.concatenate([words, last], axis=1).astype(self.dtype)
        paddings = jnp.pad(text_paddings, ((0, 0), (0, 1)))
        allowed = transformer_stack.key_padding(paddings)
        if self.causal:
            # As in the release: with a causal mask, padded queries are masked as well.
            before = jnp.tril(jnp.ones((length + 1, length + 1), bool))
            allowed = allowed & allowed.swapaxes(-1, -2) & before
        x = self.norm(self.transformer(x, paddings, allowed=allowed))
        place = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), (batch, length))
        return types.Encoded(tokens=types.Tokens(x[:, :-1], place), pooled=x[:, -1])
