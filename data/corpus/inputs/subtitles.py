"""Parse transcripts with word timestamps: WebVTT, SubRip or JSON."""

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

from prismlab.core import errors
from prismlab.data.corpus.inputs import cues, file_kinds, timestamps

_INNER = re.compile(r"<((?:\d+:)?\d{1,2}:\d{1,2}\.\d{1,3})>")
_MOST_WORDS = 1_000_000
_WRONG = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


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


@dataclasses.dataclass(frozen=True)
class Transcript:
    """Words of a transcript, and what was left out.

    Args:
        words: the words; those of a cue are together, cues are ordered by start. Where two cues overlap,
            times go back.
        faults: what was wrong with each cue or word that was left out.
    """

    words: list[Word]
    faults: tuple[str, ...]


def read(data: bytes, name: str, max_bad: float = 0.5) -> Transcript:
    """Parse the words of a transcript.

    Word times come from inline WebVTT timestamps or the words of JSON; otherwise the time of a cue is divided
    among its words by their number of letters. Lines repeated by rolling subtitles are counted once.

    Args:
        data: content of the file.
        name: file name; the extension selects the format.
        max_bad: maximum fraction of cues and words with wrong times or without text; these are left out.

    Raises:
        UserError: not UTF-8, unsupported format, no words, or too many wrong cues.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.UserError(
            f"{name}: expected UTF-8, got the byte 0x{data[error.start]:02x} at {error.start}; "
            "save it as UTF-8"
        ) from error
    try:
        found = list(_json(text) if file_kinds.suffix(name) == ".json" else _subtitles(text, name))
    except _WRONG as error:
        raise errors.UserError(
            f"{name}: expected WebVTT, SubRip or JSON with times, got {error!r}; correct the transcript"
        ) from error
    faults = tuple(each for each in found if isinstance(each, str))
    spoken = [each for each in found if not isinstance(each, str)]
    total = len(faults) + sum(len(cue) for cue in spoken)
    if len(faults) > max_bad * total:
        raise errors.UserError(
            f"{name}: expected at most {max_bad:.0%} wrong cues, got {len(faults)} of {total}, the first: "
            f"{faults[0]}; correct the transcript"
        )
    words: list[Word] = []
    uttered = [[word for piece in cue for word in piece] for cue in spoken]
    for each in sorted((each for each in uttered if each), key=lambda each: each[0].start):
        for word in each:
            # A word that lasts into the next one ends where that starts.
            if words and words[-1].end > word.start >= words[-1].start:
                words[-1] = dataclasses.replace(words[-1], end=word.start)
            words.append(word)
    if not words or len(words) > _MOST_WORDS:
        raise errors.UserError(f"{name}: expected 1 to {_MOST_WORDS} words with times, got {len(words)}")
    return Transcript(words, faults)


# A cue: the words of each of its pieces, which have times of their own.
_Cue = list[list[Word]]


def _subtitles(text: str, name: str) -> Iterator[_Cue | str]:
    webvtt = file_kinds.suffix(name) == ".vtt" or text.startswith("WEBVTT")
    found = list(cues.parse(text, webvtt=webvtt))
    yield from (each for each in found if isinstance(each, str))
    ordered = sorted((each for each in found if isinstance(each, cues.Cue)), key=lambda cue: cue.start)
    yield from ([list(_timed(" ".join(cue.lines), cue.start, cue.end))] for cue in cues.spoken(ordered))


def _timed(text: str, start: float, end: float) -> Iterator[Word]:
    parts = _INNER.split(text)
    times = [start]
    for each in parts[1::2]:
        times.append(min(end, max(times[-1], timestamps.required(each))))
    for piece, first, last in zip(parts[::2], times, [*times[1:], end]):
        yield from _shared(cues.plain(piece), first, last)


def _shared(text: str, start: float, end: float) -> Iterator[Word]:
    words = text.split()
    letters, rate = 0, (end - start) / max(1, sum(map(len, words)))
    for word in words:
        yield Word(word, start + letters * rate, start + (letters + len(word)) * rate)
        letters += len(word)


def _json(text: str) -> Iterator[_Cue | str]:
    """Yield each segment, and what is wrong with each segment or word that is left out."""
    value = json.loads(text)
    if isinstance(value, dict):
        value = value["segments"] if "segments" in value else value["words"]
    if not isinstance(value, list):
        raise ValueError("expected a list of segments or words")
    for each in value:
        try:
            inner = each.get("words") or []
            parts = [_piece(word, ("word", "text")) for word in inner]
            if inner and all(isinstance(part, str) for part in parts):
                # No word has times, but their sentence may.
                parts = [_piece(each, ("text", "word"))]
        except _WRONG as error:
            yield f"expected a segment, got {error!r}"[:200]
            continue
        parts = parts if inner else [_piece(each, ("text", "word"))]
        yield from (part for part in parts if isinstance(part, str))
        yield [part for part in parts if not isinstance(part, str)]


def _piece(each: Any, names: tuple[str, str]) -> list[Word] | str:
    """Return the words of one JSON object with a text and times, or what is wrong with it."""
    try:
        text = next((each[name] for name in names if name in each), "")
        if not isinstance(text, str):
            raise ValueError(f"expected text, got {str(text)[:40]}")
        start = timestamps.required(each.get("start"))
        end = (
            timestamps.required(each["end"])
            if "end" in each
            else start + timestamps.required(each.get("duration"))
        )
        if end < start:
            raise ValueError(f"expected end after start, got a text from {start} to {end} s")
    except _WRONG as error:
        return str(error)[:200]
    return list(_shared(text, start, end))
