"""Errors of a disk are one line, whichever library reports them."""

import errno

import pytest

from prismlab.core import errors
from prismlab.core.io import file_errors

RUST = "Error while serializing: I/O error: No space left on device (os error 28)"
TENSORSTORE = 'UNAVAILABLE: Failed to open: "/x/y" [OS error 30: EROFS Read-only file system]'


def test_libraries_without_oserror_are_read_by_their_text() -> None:
    for error, number in ((RuntimeError(RUST), errno.ENOSPC), (ValueError(TENSORSTORE), errno.EROFS)):
        found = file_errors.as_system_error(error)
        assert found is not None
        assert found.errno == number
    assert file_errors.as_system_error(ValueError("os errors 28")) is None


@pytest.mark.parametrize("block", [file_errors.full_disk, file_errors.translate_errors])
def test_a_full_disk_under_a_library_is_one_line(block) -> None:
    told = "cannot write out: the disk or the quota is full"
    with pytest.raises(errors.UserError, match=told), block("out"):
        raise RuntimeError(RUST)
    with pytest.raises(RuntimeError, match=r"^own$"), block("out"):
        raise RuntimeError("own")
