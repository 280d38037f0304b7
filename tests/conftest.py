"""What every test shares: two devices, checked shapes, strict types, one hypothesis profile.

Everything here must happen before jax or a room of ours is imported for the first time.
"""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
os.environ["JAX_PLATFORMS"] = "cpu"

import hypothesis
import jax
import jaxtyping

# Every jaxtyping annotation of these two rooms is checked at each call and each construction.
jaxtyping.install_import_hook(["core", "objectives"], "beartype.beartype")

# Not switched on: jax_numpy_dtype_promotion="strict", because optax multiplies its int32 counts with
# floats (the objectives' contract switches it on for its own calls), and
# jax_numpy_rank_promotion="raise", because a bias [d] is added to tokens [b, n, d] in every layer.
jax.config.update("jax_legacy_prng_key", "error")
# Tests compile much and compute little; without the compiler's optimizations they take half the time.
jax.config.update("jax_disable_most_optimizations", True)

hypothesis.settings.register_profile(
    "prismlab", deadline=None, max_examples=25, derandomize=True, database=None
)
hypothesis.settings.load_profile("prismlab")
