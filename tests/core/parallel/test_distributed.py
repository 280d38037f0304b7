"""How processes agree; those that run together are tested in tests/experiments."""

import pytest

from prismlab.core.parallel import distributed


def test_one_process_decides_for_itself():
    assert distributed.decide(lambda: {"a": 1}) == {"a": 1}
    distributed.check_same(lambda: pytest.fail("nobody to compare with"))
