"""Parse transcripts with word timestamps: WebVTT, SubRip or JSON."""

import dataclasses
import html
import json
import re
from collections.abc import Iterator
from typing import Any

from prismlab.core import errors
from prismlab.data.corpus.inputs import file_kinds, timestamps

_ARROW = re.compile(r"^\s*([\d:.,]+)\s+-->\s+([\d:.,]+)")
_INNER = re.compile(r"<((?:\d+:)?\d{1,2}:\d{1,2}\.\d{1,3})>")
_TAG = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,200}\}")
_MOST_WORDS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Word:
    """One spoken word with its time span.

    Args:
        text: the word, without spaces, not empty.
        start: start in seconds.
        end: end in seconds, at or after start.
    """

    text: str
    start: float
    end: float


def read(data: bytes, name: str) -> list[Word]:
    """Parse the words of a transcript, sorted by time.

    Word times come from inline WebVTT timestamps or the words of JSON; otherwise the time of a cue is divided
    among its words by their number of letters. Lines repeated by rolling subtitles are counted once.

    Args:
        data: content of the file.
        name: file name; the extension selects the format.

    Raises:
        UserError: not UTF-8, unsupported format, invalid time, or no words.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.UserError(
            f"{name}: expected UTF-8, got the byte 0x{data[error.start]:02x} at {error.start}; "
            "save it as UTF-8"
        ) from error
    try:
        found = list(_json(text) if file_kinds.suffix(name) == ".json" else _cues(text))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise errors.UserError(
            f"{name}: expected WebVTT, SubRip or JSON with times, got {error!r}; correct the transcript"
        ) from error
    words: list[Word] = []
    for word in sorted(found, key=lambda word: word.start):
        # If two cues overlap, the earlier word ends where the later one starts.
        if words and words[-1].end > word.start:
            words[-1] = dataclasses.replace(words[-1], end=word.start)
        words.append(word)
    if not words or len(words) > _MOST_WORDS:
        raise errors.UserError(f"{name}: expected 1 to {_MOST_WORDS} words with times, got {len(words)}")
    return words


def _cues(text: str) -> Iterator[Word]:
    before: list[str] = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.split("\n")
        at = next((index for index, line in enumerate(lines) if "-->" in line), None)
        if at is None:
            continue  # a header, a note or a style
        match = _ARROW.match(lines[at])
        if match is None:
            raise ValueError(f"the line {lines[at][:80]!r}")
        start, end = (_seconds(each) for each in match.groups())
        if end < start:
            raise ValueError(f"a cue from {start} to {end} s")
        said = [line for line in lines[at + 1 :] if line.strip()]
        fresh = [line for line in said if _plain(line) not in before]
        before = [_plain(line) for line in said]
        yield from _timed(" ".join(fresh), start, end)


def _timed(text: str, start: float, end: float) -> Iterator[Word]:
    parts = _INNER.split(text)
    times = [start, *(_seconds(each) for each in parts[1::2]), end]
    for piece, first, last in zip(parts[::2], times, times[1:]):
        yield from _shared(_plain(piece), first, max(first, last))


def _shared(text: str, start: float, end: float) -> Iterator[Word]:
    words = text.split()
    letters, rate = 0, (end - start) / max(1, sum(map(len, words)))
    for word in words:
        yield Word(word, start + letters * rate, start + (letters + len(word)) * rate)
        letters += len(word)


def _json(text: str) -> Iterator[Word]:
    value = json.loads(text)
    if isinstance(value, dict):
        value = value["segments"] if "segments" in value else value["words"]
    for each in value:
        if each.get("words"):
            for word in each["words"]:
                yield from _shared(str(word.get("word", word.get("text", ""))), *_span(word))
        else:
            yield from _shared(str(each.get("text", each.get("word", ""))), *_span(each))


def _span(each: dict[str, Any]) -> tuple[float, float]:
    start = _seconds(each["start"])
    end = _seconds(each["end"]) if "end" in each else start + _seconds(each["duration"])
    if end < start:
        raise ValueError(f"a text from {start} to {end} s")
    return start, end


def _seconds(value: Any) -> float:
    found = timestamps.seconds(value)
    if found is None:
        raise ValueError("an empty time")
    return found


def _plain(text: str) -> str:
    return " ".join(html.unescape(_TAG.sub("", text)).split())
