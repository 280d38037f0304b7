"""Clips of a transcript: whole sentences, of the lengths asked for, no word twice; wrong files one line."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.corpus.inputs import media, subtitles, transcripts

VTT = """WEBVTT

NOTE a note
on two lines

00:00.000 --> 00:04.000 align:start
<v Ann>Cut the &amp; onion.

1
00:00:04.000 --> 00:00:08.000
Now <00:00:05.000>fry <00:00:07.500><c>it!</c>
"""
SRT = (
    "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i> there.\r\n\r\n"
    "2\r\n00:00:03,000 --> 00:00:04,000\r\nBye\r\n"
)
ROLLING = """WEBVTT

00:00.000 --> 00:02.000
so today

00:02.000 --> 00:04.000
so today
we cook
"""


def read(data: str | bytes, name: str = "a.srt") -> list[subtitles.Word]:
    return subtitles.read(data.encode() if isinstance(data, str) else data, name).words


def texts(words: list[subtitles.Word]) -> list[str]:
    return [word.text for word in words]


def test_webvtt() -> None:
    words = read(VTT, "a.vtt")
    assert texts(words) == ["Cut", "the", "&", "onion.", "Now", "fry", "it!"]
    assert [word.start for word in words[-3:]] == [4.0, 5.0, 7.5]
    assert words[-1].end == 8.0


def test_subrip_and_rolling_lines() -> None:
    words = read(SRT.encode("utf-8-sig"))
    assert texts(words) == ["Hello", "there.", "Bye"]
    assert (words[0].start, words[1].end, words[2].start) == (1.0, 2.5, 3.0)
    assert texts(read(ROLLING, "a.vtt")) == ["so", "today", "we", "cook"]


@pytest.mark.parametrize(
    "value",
    [
        [{"start": 0, "end": 2, "text": "one two"}],
        [{"start": 0, "duration": 2, "text": "one two"}],
        {"segments": [{"start": 0, "end": 2, "text": "one two"}]},
        {"segments": [{"start": 0, "end": 2, "text": "x", "words": [{"word": " one", "start": 0, "end": 1},
                                                                  {"word": " two", "start": 1, "end": 2}]}]},
    ],
)  # fmt: skip
def test_json(value: object) -> None:
    words = read(json.dumps(value), "a.json")
    assert texts(words) == ["one", "two"]
    assert (words[0].start, words[1].end) == (0.0, 2.0)


@pytest.mark.parametrize(
    ("data", "name", "told"),
    [
        (b"\xff\xfeW\x00", "a.vtt", "expected UTF-8, got the byte 0xff"),
        (b"WEBVTT\n", "a.vtt", "got 0"),
        (b"", "a.srt", "got 0"),
        (b"00:01 --> soon\nword", "a.vtt", "correct the transcript"),
        (b"00:00:09.000 --> 00:00:03.000\nword", "a.vtt", "from 9.0 to 3.0"),
        (b"{", "a.json", "correct the transcript"),
        (b'{"x": 1}', "a.json", "words"),
        (b'[{"start": -1, "end": 2, "text": "word"}]', "a.json", "0 seconds or more"),
        (b"[" * 100_000, "a.json", "correct the transcript"),
    ],
)
def test_wrong_transcripts(data: bytes, name: str, told: str) -> None:
    with pytest.raises(errors.UserError, match=told) as caught:
        subtitles.read(data, name)
    assert "\n" not in str(caught.value)


@st.composite
def speech(draw: st.DrawFn) -> list[subtitles.Word]:
    words, now = [], 0.0
    for index in range(draw(st.integers(1, 60))):
        now += draw(st.sampled_from([0.0, 0.1, 0.4, 3.0]))
        length = draw(st.sampled_from([0.1, 0.3, 0.8, 4.0]))
        words.append(
            subtitles.Word(f"w{index}{draw(st.sampled_from(['', '', '', '.', '?']))}", now, now + length)
        )
        now += length
    return words


@given(words=speech(), lengths=st.sampled_from([(3.0, 5.0, 20.0), (1.0, 1.0, 1.5), (2.0, 4.0, 4.0)]))
def test_clips_have_the_lengths_and_no_word_twice(words, lengths) -> None:
    cutter = transcripts.Transcripts("root", *lengths)
    spans = cutter.spans(words)
    for start, end, _ in spans:
        assert lengths[0] <= end - start <= lengths[2]
    for (_, end, _), (start, _, _) in itertools.pairwise(spans):
        assert start >= end
    said = [word for _, _, text in spans for word in text.split()]
    order = [word.text for word in words]
    assert [word for word in order if word in set(said)] == said
    # A clip below `enough` ends because the next sentence is too much, or somebody pauses, or all is said.
    by_text = {word.text: word for word in words}
    for start, end, text in spans:
        after = order.index(text.split()[-1]) + 1
        if end - start < lengths[1] and after < len(words):
            sentence = next(each for each in cutter._sentences(words) if each[0].text == order[after])
            gap = by_text[order[after]].start - end
            assert gap >= cutter.pause or sentence[-1].end - start > lengths[2]


def test_videos_are_paired_with_what_lies_beside_them(tmp_path) -> None:
    for name in ("a.mp4", "a.en.vtt", "b.mp4", "c.vtt", "d/e.webm", "d/e.srt", "d/e.vtt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(VTT)
    home = transcripts.Transcripts(str(tmp_path), shortest=0.5, enough=3.0)
    (unit,) = home.units()
    assert unit.entries == (("a.mp4", "a.en.vtt"), ("b.mp4", ""), ("d/e.webm", "d/e.srt"))
    first, second, _ = home.read(unit)
    assert "expected a transcript next to the video" in second.cuts[0].fault
    assert [cut.caption for cut in first.cuts] == ["Cut the & onion.", "Now fry it!"]
    assert (first.cuts[0].start, first.cuts[0].end) == (0.0, 4.0)
    (tmp_path / "a.en.vtt").write_bytes(b"\xff")
    assert "0xff" in next(home.read(unit)).cuts[0].fault


def test_a_folder_without_transcripts(tmp_path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(media.Stop, match="expected videos with transcripts next to them"):
        list(transcripts.Transcripts(str(tmp_path)).units())
    with pytest.raises(errors.UserError, match="expected a folder"):
        list(transcripts.Transcripts(str(tmp_path / "none")).units())
