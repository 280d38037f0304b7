"""A transfer guard is refused before a run begins, not in the middle of it."""

import jax
import pytest

from prismlab.core import errors
from prismlab.experiments.commands import shared_recipe
from prismlab.experiments.run import transfer_guard


@pytest.mark.parametrize("name", ["transfer_guard", "transfer_guard_host_to_device"])
def test_a_guard_that_disallows_copies_is_one_line(name: str) -> None:
    for value in ("allow", "log"):
        with getattr(jax, name)(value):
            transfer_guard.check()
    for value in ("disallow", "disallow_explicit"):
        told = f"{name.upper()}={value}: .*; unset it, or set it to log"
        with getattr(jax, name)(value), pytest.raises(errors.UserError, match=f"JAX_{told}"):
            shared_recipe.together(None, lambda: 0)
