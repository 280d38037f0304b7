"""The models that tests share hold arrays, whichever test asks for them first."""

import jax
import jax.numpy as jnp
import tiny


def test_a_first_call_inside_a_trace_does_not_cache_tracers():
    made = tiny.shared(lambda size: jnp.arange(size) + 1)
    jax.eval_shape(lambda: made(3))
    assert not isinstance(made(3), jax.core.Tracer)
    assert made(3).tolist() == [1, 2, 3]
    assert made(3) is made(3)
