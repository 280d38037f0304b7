"""Programs of the tests share a context, except one that is lowered while another is."""

import jax
import jax.numpy as jnp
import mlir_context
import numpy as np
import pytest
from jax._src.interpreters import mlir


@pytest.fixture(autouse=True)
def only_known_versions():
    if mlir.make_ir_context.__module__ != mlir_context.__name__:
        pytest.skip("contexts are shared only with the versions of JAX whose internals mlir_context knows")


def test_programs_share_a_context_unless_another_is_being_lowered():
    shared = mlir.make_ir_context()
    assert mlir.make_ir_context() is shared
    with shared:
        assert mlir.make_ir_context() is not shared


def test_a_program_may_be_compiled_while_another_is_lowered():
    # Random bits of a new shape: their counts are a program of their own, compiled within the lowering.
    drawn = jax.random.bits(jax.random.key(0), (13, 7))
    np.testing.assert_array_equal(drawn, jax.jit(lambda: jax.random.bits(jax.random.key(0), (13, 7)))())
    assert jnp.shape(drawn) == (13, 7)
