"""Search results as a self-contained HTML page with embedded thumbnails and no scripts."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from prismlab.experiments import console, html_page
from prismlab.experiments.released import embedding_archive


def span(found: embedding_archive.Embeddings, row: int) -> str:
    """Format the start and end of a window, for example "0:02-0:04"."""
    return f"{console.duration(found.start[row])}-{console.duration(np.ceil(found.end[row]))}"


def page(
    found: embedding_archive.Embeddings, ranked: Mapping[str, Sequence[tuple[int, float]]], note: str = ""
) -> str:
    """Return the HTML of the search results.

    Args:
        found: the embeddings that were searched.
        ranked: query -> (row, score), best first.
        note: one sentence above the results.
    """
    queries = [(query, [_item(found, *each) for each in rows]) for query, rows in ranked.items()]
    return html_page.render("search.html", note=note, queries=queries)


def _item(found: embedding_archive.Embeddings, row: int, score: float) -> dict[str, str]:
    buffer = io.BytesIO()
    Image.fromarray(found.thumbnails[row].astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return {
        "picture": html_page.picture(buffer.getvalue(), "image/jpeg"),
        "score": f"{score:.4f}",
        "path": found.path[row],
        "span": span(found, row),
    }
