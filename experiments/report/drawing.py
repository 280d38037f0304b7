"""How all figures of a report are drawn with matplotlib: style, colours, labels, and files of equal bytes."""

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import matplotlib
import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker

from prismlab.experiments import console

# Palette of Okabe and Ito, distinguishable with most forms of colour blindness.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#555555"]
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "prismlab",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
}


def label(text: str, most: int = 48) -> str:
    """Return a label escaped, shortened, and not hidden by matplotlib's legend.

    Args:
        text: any string.
        most: characters that are kept.
    """
    shown = console.escaped(text)
    short = shown if len(shown) <= most else shown[: most - 1] + "…"
    return f" {short}" if short.startswith("_") else short


def label_powers(axes: matplotlib.axes.Axes, low: float, high: float) -> None:
    """Label a logarithmic x axis in plain text, such as 2e13; matplotlib's own labels need its math parser.

    Args:
        axes: with the scale "log" or "symlog".
        low, high: smallest and largest positive value that is drawn.
    """
    start = [0.0] if axes.get_xscale() == "symlog" else []
    axes.xaxis.set_major_locator(matplotlib.ticker.FixedLocator([*start, *round_values(low, high)]))
    axes.xaxis.set_major_formatter(lambda value, place: f"{value:.0e}".replace("e+", "e") if value else "0")
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def round_values(low: float, high: float, most: int = 4) -> list[float]:
    """Return round numbers from `low` to `high`, evenly spread on a logarithmic scale and at most `most`.

    Args:
        low, high: positive.
        most: so that labels do not overlap.

    Returns:
        1, 2 and 5 of each decade, else 1 and 3, else every decade or every k-th; both ends if none lies
        between them.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        found = [v for k in decades for digit in digits if low <= (v := digit * 10.0**k) <= high]
        if len(found) <= most:
            return found or [low, high]
    return found[:: math.ceil(len(found) / most)]


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of the report, whatever the user's own settings of matplotlib are."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        warnings.filterwarnings("ignore", message="Glyph")  # a character without a glyph is drawn as a box
        yield


def svg(figure: matplotlib.figure.Figure, *, tight: bool = True) -> str:
    """Return a figure as SVG text; equal figures give equal text.

    Args:
        figure: drawn within `styled`.
        tight: cut it to what is drawn, which takes longer; False keeps its size.
    """
    return _written(figure, "svg", tight).decode("utf-8")


def pdf(figure: matplotlib.figure.Figure) -> bytes:
    """Return a figure as a PDF file; equal figures give equal bytes."""
    return _written(figure, "pdf", tight=True)


def _written(figure: matplotlib.figure.Figure, kind: Literal["svg", "pdf"], tight: bool) -> bytes:
    buffer = io.BytesIO()
    # A date would make figures of the same numbers differ.
    date = {"svg": "Date", "pdf": "CreationDate"}[kind]
    cut = "tight" if tight else None
    figure.savefig(buffer, format=kind, bbox_inches=cut, metadata={date: None, "Creator": None})
    return buffer.getvalue()
