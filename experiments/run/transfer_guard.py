"""JAX's transfer guard, a debugging aid that forbids what every run does."""

import jax

from prismlab.core import errors

_NAMES = tuple(
    f"jax_transfer_guard{direction}"
    for direction in ("", "_host_to_device", "_device_to_device", "_device_to_host")
)


def check() -> None:
    """Check that JAX may copy arrays between host and devices; call before anything is computed.

    Raises:
        UserError: a transfer guard disallows it.
    """
    for name in _NAMES:
        value = getattr(jax.config, name)
        if str(value).startswith("disallow"):
            raise errors.UserError(
                f"{name.upper()}={value}: prismlab copies batches and results between host and devices; "
                "unset it, or set it to log"
            )
