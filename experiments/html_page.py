"""Render the HTML pages of the commands from the templates in `experiments/html/`.

Pages are self-contained: styles are inline, pictures are embedded, nothing is loaded and no script runs.
Every value is escaped twice over: control characters become visible (`console.escaped`), then markup is
escaped by jinja2.
"""

import base64
import functools
import pathlib
from typing import Any

import jinja2
import markupsafe

from prismlab.experiments import console

_TEMPLATES = pathlib.Path(__file__).parent / "html"


def render(template: str, **values: Any) -> str:
    """Return a page.

    Args:
        template: name of a file in `experiments/html/`.
        values: the variables of the template; a missing one is an error.
    """
    return _environment().get_template(template).render(**values)


def picture(data: bytes, kind: str) -> str:
    """Return a data URL.

    Args:
        data: an encoded image.
        kind: its media type, such as "image/svg+xml".
    """
    # Letters, digits and signs of base64 need no escaping, which takes long for a picture.
    return markupsafe.Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _visible(value: Any) -> Any:
    # Markup is the output of a macro, whose own values were already converted.
    return value if isinstance(value, markupsafe.Markup) else console.escaped(value, "\n\t")
