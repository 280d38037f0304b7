"""Parse the cues of WebVTT and SubRip files, keyed on their time lines, not on blank lines."""

import dataclasses
import html
import itertools
import re
from collections.abc import Iterator, Sequence

from prismlab.data.corpus.inputs import timestamps

# A time line: an optional number, a time, an arrow and a time; settings may follow.
_TIMES = re.compile(r"\s*(?:\d+\s+)?(-?[\d:.,]+)\s*-->\s*(-?[\d:.,]+)(?=\s|$)")
# Arrows that other programs write; only full times (hours, minutes, seconds) count beside them.
_OTHER = re.compile(
    r"\s*(?:\d+\s+)?(-?\d+:\d+:[\d.,]+)\s*(?:-+\s?>|[–—=]\s?>|→)\s*(-?\d+:\d+:[\d.,]+)(?=\s|$)"
)
# A line that is meant as a time line, but has something else on one side of the arrow.
_MEANT = re.compile(r"[\s\d.,-]*:[\s\d:.,-]*-->|.*-->\s*-?\d+:\d")
_COMMENT = re.compile(r"NOTE(?:\s|$)|(?:STYLE|REGION)\s*$")
# Tags of WebVTT and of the HTML in SubRip files; other text in angle brackets was said.
_NAMES = r"(?:b|i|u|s|ruby|rt|em|strong|small|big|tt)(?:\.[^\s<>]{0,80})?\s*/?"
_LONG = r"(?:c|v|lang|font|span|p|a)(?:[.\s][^<>]{0,200})?"
_TAG = re.compile(
    rf"</?(?:{_NAMES}|{_LONG})>|<(?:\d+:)?\d+:\d+[.,]\d+>|\{{\\[^{{}}]{{0,200}}\}}", re.IGNORECASE
)
_BREAK = re.compile(r"<br\s{0,20}/?>", re.IGNORECASE)
_NEAR = 0.1  # seconds between two cues that follow each other without a break


@dataclasses.dataclass(frozen=True)
class Cue:
    """Text on screen for a time.

    Args:
        start: start in seconds.
        end: end in seconds, at or after start.
        lines: its lines with tags, none of them blank.
    """

    start: float
    end: float
    lines: tuple[str, ...]


def plain(text: str) -> str:
    """Return text without tags, with characters in place of entities and single spaces."""
    return " ".join(html.unescape(_TAG.sub("", _BREAK.sub(" ", text))).split())


def parse(text: str, *, webvtt: bool) -> Iterator[Cue | str]:
    """Yield each cue of a file, or what is wrong with it, in the order of the file.

    A cue's text is all between its time line and the next: blank lines may be missing or stand inside it. The
    line above a time line is left out if it is the cue's number or, in WebVTT after a blank line, its name.

    Args:
        text: content of the file.
        webvtt: the file may have comments (NOTE), styles and names of cues.
    """
    lines = re.split(r"\r\n|\r|\n", text)
    at = [number for number, line in enumerate(lines) if _is_times(line)]
    if not at:
        return
    before = [line.strip() for line in lines[: at[0]] if line.strip()]
    numbered = bool(before) and before[-1].isdecimal()
    for first, last in itertools.pairwise([*at, len(lines)]):
        try:
            start, end = _times(lines[first])
        except ValueError as error:
            yield str(error)
            continue
        said = lines[first + 1 : last]
        if last < len(lines):
            said = _without_name(said, numbered, webvtt)
        said = _without_comments(said) if webvtt else said
        yield Cue(start, end, tuple(line for line in said if plain(line)))


def _is_times(line: str) -> bool:
    if ">" not in line and "→" not in line:
        return False
    match = _TIMES.match(line)
    return bool(match and ":" in match[1] + match[2]) or bool(_OTHER.match(line) or _MEANT.match(line))


def _times(line: str) -> tuple[float, float]:
    match = _TIMES.match(line) or _OTHER.match(line)
    if match is None:
        raise ValueError(f"expected times, got the line {line[:80]!r}")
    start, end = (timestamps.required(each) for each in match.groups())
    if end < start:
        raise ValueError(f"expected end after start, got a cue from {start} to {end} s")
    return start, end


def _without_name(lines: list[str], numbered: bool, webvtt: bool) -> list[str]:
    """Leave out the number or name of the next cue, which ends the lines of this one."""
    last = max((number for number, line in enumerate(lines) if line.strip()), default=-1)
    if last < 0:
        return lines
    number = lines[last].strip().isdecimal()
    apart = last == len(lines) - 1 and last > 0 and not lines[last - 1].strip()
    return lines[:last] if (number and (numbered or apart)) or (webvtt and apart) else lines


def _without_comments(lines: Sequence[str]) -> list[str]:
    kept, blank, comment = [], False, False
    for line in lines:
        comment = bool(line.strip()) and (comment or (blank and bool(_COMMENT.match(line))))
        blank = not line.strip()
        if not comment:
            kept.append(line)
    return kept


def spoken(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Yield each cue with the lines that it says again.

    A line that the cue before shows at the same time counts once. In files that roll (the lines on screen
    are repeated above a new one, as in automatic subtitles) so does a line that stays on screen. A line that
    comes back after a break was said again.

    Args:
        cues: ordered by start.
    """
    shown = [[plain(line) for line in cue.lines] for cue in cues]
    pairs = [_kept(a, b) for a, b in itertools.pairwise(shown)]
    near = [after.start <= cue.end + _NEAR for cue, after in itertools.pairwise(cues)]
    rolls = any(close and 0 < kept < len(b) for close, kept, b in zip(near, pairs, shown[1:]))
    for index, cue in enumerate(cues):
        lines = list(zip(cue.lines, shown[index]))
        if index:
            before = cues[index - 1]
            if cue.start < before.end and (rolls or cue.start == before.start):
                known = set(shown[index - 1])
                lines = [(line, text) for line, text in lines if text not in known]
            elif rolls and (near[index - 1] or pairs[index - 1] < len(lines)):
                lines = lines[pairs[index - 1] :]
        yield dataclasses.replace(cue, lines=tuple(line for line, _ in lines))


def _kept(before: list[str], after: list[str]) -> int:
    """Return how many lines at the end of one cue are the first lines of the next."""
    most = min(len(before), len(after), 8)
    return next((count for count in range(most, 0, -1) if before[-count:] == after[:count]), 0)
