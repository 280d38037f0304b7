"""A limit of memory or threads (`ulimit`) is not taken for a damaged shard."""

import pytest

from prismlab.core import errors
from prismlab.data.records import record, shards


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("Resource temporarily unavailable", "raise the limit of memory or threads"),
        ("Cannot allocate memory", "raise the limit of memory or threads"),
        ("checksum differs", "rebuild its shards"),
    ],
)
def test_the_advice_fits_the_reason(tmp_path, monkeypatch, reason: str, advice: str) -> None:
    shards.write_shards([record.Record("a", b"video", "caption")], tmp_path / "s", 1)

    def fail(self: shards.ShardReader, shard: int) -> None:
        raise RuntimeError(f"{reason}\nstack")

    monkeypatch.setattr(shards.ShardReader, "_reader", fail)
    with pytest.raises(errors.UserError, match=f"got '{reason}'; .*{advice}"):
        shards.ShardReader(tmp_path / "s")[0]
