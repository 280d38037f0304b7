"""Search results as a self-contained HTML page with embedded thumbnails and no scripts."""

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from prismlab.experiments import console
from prismlab.experiments.released import embedding_archive

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #ffffff; --line: #c9c9c9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --paper: #17181a; --line: #46484c; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
ol { list-style: none; padding: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); }
li { border: 1px solid var(--line); padding: .6rem; overflow-wrap: anywhere; }
img { width: 96px; height: 96px; display: block; }
.score { font-variant-numeric: tabular-nums; font-weight: 600; }
"""


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
    parts = []
    for query, rows in ranked.items():
        items = "".join(_item(found, place, row, score) for place, (row, score) in enumerate(rows, 1))
        parts.append(f"<h2>{_escape(query)}</h2>\n<ol>{items}</ol>")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Search</title><style>{_STYLE}</style></head><body>\n<h1>Search</h1>\n<p>{_escape(note)}</p>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _item(found: embedding_archive.Embeddings, place: int, row: int, score: float) -> str:
    return (
        f'<li><img alt="" src="{_picture(found.thumbnails[row])}">{place}. '
        f'<span class="score">{score:.4f}</span><br>{_escape(found.path[row])}<br>{span(found, row)}</li>'
    )


def _picture(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _escape(text: str) -> str:
    return html.escape(text.encode("utf-8", errors="backslashreplace").decode("utf-8"), quote=True)
