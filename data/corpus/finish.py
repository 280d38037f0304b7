"""Finish corpus preparation: merge the sheets of all shards into rejected.jsonl, card.md and the manifest."""

import json
from collections.abc import Iterator
from typing import Any

from prismlab.core.io import urls
from prismlab.data.corpus import dataset_card
from prismlab.data.records import record, shards

REJECTED = "rejected.jsonl"
_MOST_SHEET_BYTES = 1 << 28


def sheet_name(number: int) -> str:
    """Return the path of a unit's sheet relative to the output folder."""
    return f"parts/{number:06d}.json"


def read_sheet(out: str, number: int) -> dict[str, Any]:
    """Return the sheet of a finished unit."""
    return json.loads(urls.read(urls.join(out, sheet_name(number)), _MOST_SHEET_BYTES))


def complete(out: str, total: int) -> bool:
    """Return True if every unit has a sheet."""
    return all(urls.what(urls.join(out, sheet_name(number))) == "file" for number in range(total))


def sheets(out: str, total: int) -> Iterator[dict[str, Any]]:
    """Yield the sheets in order, loaded one at a time."""
    return (read_sheet(out, number) for number in range(total))


def write(out: str, total: int, about: str, text: str, tally: dict[str, Any]) -> dict[str, Any]:
    """Write rejected.jsonl, card.md and, last, the manifest.

    Args:
        out: output folder or URL.
        total: number of units.
        about: origin and license of the data.
        text: gin spec of the corpus.
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
