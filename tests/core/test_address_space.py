"""The limit of virtual memory is checked before JAX compiles."""

import resource

import pytest

from prismlab.core import address_space, errors


@pytest.mark.parametrize(
    ("limit", "refused"), [(2 * 2**30, True), (8 * 2**30, False), (resource.RLIM_INFINITY, False)]
)
def test_a_small_limit_is_refused_with_the_way_out(monkeypatch, limit, refused):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limit, resource.RLIM_INFINITY))
    if not refused:
        address_space.check()
        return
    with pytest.raises(
        errors.UserError, match=r"limited to 2.0 GiB .*expected at least 8 GiB.*ulimit -v unlimited"
    ):
        address_space.check()
