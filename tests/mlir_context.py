"""One MLIR context for the programs that a process of the tests lowers.

JAX makes a context for each program: 4 ms of the 6 that tracing and lowering a small one takes, and the tests
lower thousands. A context holds types and attributes, never a program, so what is compiled is the same.
"""

import functools
import importlib.metadata
from typing import Any


def share() -> None:
    """Let JAX make its context once; call before the first compilation.

    A program that is lowered while another is being lowered still has a context of its own: in the same one
    it would be inserted into the other. Does nothing with a JAX other than 0.10, whose internals it knows.
    """
    if not importlib.metadata.version("jax").startswith("0.10."):
        return
    from jax._src.interpreters import mlir
    from jax._src.lib.mlir import ir

    make = mlir.make_ir_context
    shared = functools.cache(make)

    def context() -> Any:
        return shared() if ir.Context.current is None else make()

    mlir.make_ir_context = context
