"""Text of strangers as LaTeX: no character of it is a command, and none is outside pdfLaTeX's fonts."""

import re

from prismlab.experiments import console

_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}", "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}", "–": r"\textendash{}", "—": r"\textemdash{}", "±": r"$\pm$",
    "×": r"$\times$", "…": r"\dots{}",
}  # fmt: skip


def escaped(text: object) -> str:
    """Return a text as LaTeX that prints it; characters without a glyph become [U+...].

    Args:
        text: any value; converted by str.
    """
    written = "".join(_sign(sign) for sign in console.escaped(text))
    return re.sub("-(?=-)", "-{}", written)  # two hyphens would become a dash


def _sign(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    if " " <= sign <= "~" or "À" <= sign <= "ÿ":  # with accents: letters that every pdfLaTeX of today sets
        return sign
    return f"[U+{ord(sign):04X}]"


def comment(text: object) -> str:
    """Return a text as one comment line."""
    return "% " + console.escaped(text).encode("ascii", "replace").decode()
