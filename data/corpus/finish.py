"""The end of a preparation: from the sheets of all shards to rejected clips, card and manifest."""

import json
from collections.abc import Iterator
from typing import Any

from prismlab.core.io import urls
from prismlab.data.corpus import dataset_card
from prismlab.data.records import record, shards

REJECTED = "rejected.jsonl"
_MOST_SHEET_BYTES = 1 << 28


def sheet_name(number: int) -> str:
    """Return the name of a unit's sheet inside the folder."""
    return f"parts/{number:06d}.json"


def read_sheet(out: str, number: int) -> dict[str, Any]:
    """Return the sheet of a finished unit."""
    return json.loads(urls.read(urls.join(out, sheet_name(number)), _MOST_SHEET_BYTES))


def complete(out: str, total: int) -> bool:
    """Tell whether every unit has its sheet."""
    return all(urls.what(urls.join(out, sheet_name(number))) == "file" for number in range(total))


def sheets(out: str, total: int) -> Iterator[dict[str, Any]]:
    """Yield the sheets in order, one in memory at a time."""
    return (read_sheet(out, number) for number in range(total))


def write(out: str, total: int, about: str, text: str, tally: dict[str, Any]) -> dict[str, Any]:
    """Write rejected.jsonl, card.md and, last, the manifest.

    Args:
        out: folder or URL.
        total: number of units.
        about: where the data comes from.
        text: the spec.
        tally: statistics of all shards.

    Returns:
        The manifest.
    """
    rejected: list[str] = []
    written = []
    for sheet in sheets(out, total):
        rejected += [json.dumps(each, ensure_ascii=False) + "\n" for each in sheet["rejected"]]
        if sheet["records"]:
            written.append({name: sheet[name] for name in ("file", "records", "bytes", "sha256")})
    urls.write(urls.join(out, REJECTED), "".join(rejected).encode())
    manifest = {
        "schema_version": record.SCHEMA_VERSION,
        "finished": True,
        "records": tally["clips"],
        "source": about,
        "shards": written,
        "statistics": tally,
    }
    urls.write(urls.join(out, dataset_card.NAME), dataset_card.text(manifest, about, text).encode())
    urls.write(urls.join(out, shards.MANIFEST), json.dumps(manifest, indent=2, sort_keys=True).encode())
    return manifest
