"""Subtitles as people have them: no blank lines, blank lines, two speakers, wrong times, comparisons."""

import json

import pytest

from prismlab.core import errors
from prismlab.data.corpus.inputs import subtitles, transcripts


def said(text: str, name: str = "a.srt") -> str:
    return " ".join(word.text for word in subtitles.read(text.encode(), name).words)


def clock(seconds: float) -> str:
    return f"00:00:{seconds:06.3f}".replace(".", ",")


def srt(*spoken: tuple[float, float, str], between: str = "\n", numbers: bool = True) -> str:
    return between.join(
        (f"{number}\n" if numbers else "") + f"{clock(start)} --> {clock(end)}\n{text}\n"
        for number, (start, end, text) in enumerate(spoken, 1)
    )


THREE = ((0, 2, "One, two."), (2, 4, "Three\nfour."), (5, 9.5, "42"))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("between", ["", "\n", "\n\n\n", " \n"])
@pytest.mark.parametrize("numbers", [True, False])
def test_blank_lines_between_cues_decide_nothing(ending, between, numbers) -> None:
    text = srt(*THREE, between=between, numbers=numbers).replace("\n", ending)
    assert said(text) == "One, two. Three four. 42"
    found = subtitles.read(text.encode(), "a.srt").words
    assert [(word.start, word.end) for word in (found[0], found[-1])] == [(0.0, 1.0), (5.0, 9.5)]


def test_blank_lines_inside_a_cue_lose_nothing() -> None:
    assert said(srt((0, 2, "first\n\nsecond\n \nthird"), (2, 4, "fourth"))) == "first second third fourth"
    # Without numbers, words directly above a time line are words.
    assert (
        said(f"{srt((0, 2, 'one'), numbers=False)}\nmore\n{srt((2, 4, 'two'), numbers=False)}")
        == "one more two"
    )


def test_comments_and_names_of_webvtt_are_not_said() -> None:
    text = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE 00:01 a note

intro
00:00.000 --> 00:02.000 line:0
one

NOTE
on several
lines

2 - second
00:02.000 --> 00:04.000
NOTE that two

00:04.000 --> 00:05.000
three
"""
    assert said(text, "a.vtt") == "one NOTE that two three"


@pytest.mark.parametrize("between", [4.0, 10.0])
def test_a_line_said_again_is_said_again(between) -> None:
    assert said(srt((0, 2, "Never."), (between, between + 2, "Never."))) == "Never. Never."
    assert said(srt((0, 2, "Never."), (2, 4, "Never."))) == "Never. Never."


def test_a_line_on_screen_twice_at_once_is_said_once() -> None:
    assert said(srt((0, 4, "Go home."), (0, 4, "Go home."))) == "Go home."


def test_automatic_subtitles_roll() -> None:
    text = """WEBVTT

00:00:00.000 --> 00:00:02.000
&nbsp;
so<00:00:00.500><c> today</c>

00:00:02.000 --> 00:00:02.010
so today
&nbsp;

00:00:02.010 --> 00:00:04.000
so today
we<00:00:03.000><c> cook</c>

00:00:07.000 --> 00:00:09.000
we cook
rice

00:00:20.000 --> 00:00:22.000
rice
"""
    assert said(text, "a.vtt") == "so today we cook rice rice"
    words = subtitles.read(text.encode(), "a.vtt").words
    assert [word.start for word in words[:4]] == [0.0, 0.5, 2.01, 3.0]


@pytest.mark.parametrize(
    "text",
    [
        "If a < 5 and b > 3 then stop.",
        "I <3 you",
        "a vector<int> of <unknown> size",
        "x <- 5 --> y",
        "{braces} stay",
        "a<b and c>d",
    ],
)
@pytest.mark.parametrize("name", ["a.srt", "a.vtt"])
def test_comparisons_are_said(text, name) -> None:
    assert said(srt((0, 2, text)).replace(",", "."), name) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<i>Hello</i> <b>you</B>", "Hello you"),
        ('<font color="#ff0000">red</font>', "red"),
        ("<v Ann Lee>cut</v> <c.yellow.bg_blue>it</c>", "cut it"),
        ("<lang en-GB>up</lang> <ruby>a<rt>b</rt></ruby>", "up ab"),
        (r"{\an8}top {\i1}x{\i0}", "top x"),
        ("one<br/>two<BR>three", "one two three"),
        ("&lt;b&gt; &amp; more", "<b> & more"),
    ],
)
def test_tags_are_not_said(text, told) -> None:
    assert said(srt((0, 2, text))) == told


def test_speakers_who_talk_at_once_keep_their_words_together() -> None:
    first, second = "I think we should leave now.", "No, it is raining outside."
    assert said(srt((0, 4, first), (0, 4, second))) == f"{first} {second}"
    # Cues come in order of their start, whatever their order in the file.
    assert said(srt((1, 3, second), (0, 4, first))) == f"{first} {second}"
    spoken = {"segments": [
        {"words": [{"word": w, "start": n, "end": n + 1} for n, w in enumerate(each.split())]}
        for each in (first, second)
    ]}  # fmt: skip
    assert said(json.dumps(spoken), "a.json") == f"{first} {second}"


def test_no_clip_ends_while_somebody_speaks() -> None:
    cutter = transcripts.Transcripts("root", shortest=1.0, enough=5.0, longest=20.0)
    text = srt((0, 12, "It is late."), (0, 12, "It rains."), (12, 18, "So we stay."))
    assert cutter.spans(subtitles.read(text.encode(), "a.srt").words) == [
        (0.0, 12.0, "It is late. It rains."),
        (12.0, 18.0, "So we stay."),
    ]
    # Two that together are too long follow each other.
    text = srt((0, 15, "It is so late that we go."), (10, 25, "It rains."))
    spans = cutter.spans(subtitles.read(text.encode(), "a.srt").words)
    assert spans == [(0.0, 15.0, "It is so late that we go."), (15.0, 25.0, "It rains.")]


@pytest.mark.parametrize(
    "wrong",
    [
        "00:00:09,000 --> 00:00:03,000",
        "-00:00:02,000 --> 00:00:03,000",
        "00:00:04,000 --> soon",
        "later --> 00:00:04,000",
        "00:99:99:04,000 --> 00:00:05,000",
        f"{'9' * 400}:00:00,000 --> 00:00:05,000",
    ],
)
def test_a_wrong_cue_is_left_out_and_counted(wrong) -> None:
    text = f"{srt(*THREE[:2])}\n3\n{wrong}\nnot this\n\n4\n00:00:05,000 --> 00:00:06,000\nthis\n"
    found = subtitles.read(text.encode(), "a.srt")
    assert " ".join(word.text for word in found.words) == "One, two. Three four. this"
    assert len(found.faults) == 1
    with pytest.raises(
        errors.UserError, match=r"expected at most 20% wrong cues, got 1 of 4, the first: expected"
    ):
        subtitles.read(text.encode(), "a.srt", max_bad=0.2)


@pytest.mark.parametrize("arrow", ["-->", "  -->\t", "->", "–>", " → ", "-->\u00a0", " -- > "])
def test_arrows_as_people_write_them(arrow) -> None:
    text = srt(*THREE).replace(" --> ", arrow)
    assert said(text) == "One, two. Three four. 42"


def test_words_without_times_are_left_out_and_counted() -> None:
    word = lambda text, start: {"word": text, "start": start, "end": start + 1}
    segments = [
        {"start": 0, "end": 3, "text": "x", "words": [word("we", 0), {"word": "5"}, word("eat", 2)]},
        {"start": 4, "end": 6, "text": "all day", "words": [{"word": "all"}, {"word": "day", "start": None}]},
        {"start": 7, "end": 8, "text": "long"},
        None,
    ]
    found = subtitles.read(json.dumps({"segments": segments, "word_segments": []}).encode(), "a.json")
    assert [word.text for word in found.words] == ["we", "eat", "all", "day", "long"]
    assert (found.words[2].start, found.words[3].end) == (4.0, 6.0)
    assert len(found.faults) == 2
    for wrong in ('{"start": NaN, "end": 1, "text": "a"}', '{"start": 0, "end": 1, "text": null}', "7",
                  f'{{"start": {"9" * 400}, "end": 1, "text": "a"}}',
                  '{"start": 0, "end": 1e999, "text": "a"}',
                  '{"start": 3, "end": 1, "text": "a"}', '{"start": 0, "text": "a"}'):  # fmt: skip
        found = subtitles.read(f'[{{"start": 0, "end": 2, "text": "b c"}}, {wrong}]'.encode(), "a.json")
        assert ([word.text for word in found.words], len(found.faults)) == (["b", "c"], 1)


def test_work_grows_with_the_length() -> None:
    """Comparing every line with every other, or copying a clip for each sentence, would take minutes."""
    lines = ["\n".join(f"w{cue}-{number}" for number in range(10_000)) for cue in range(2)]
    assert len(said(srt((0, 1, lines[0]), (1, 2, lines[1]))).split()) == 20_000
    words = [subtitles.Word("word.", 1.0, 1.0)] * 50_000
    assert transcripts.Transcripts("root").spans(words) == []


def test_every_expression_reads_long_lines_in_time() -> None:
    """Hostile lines of 20,000 characters: an expression that goes back and forth would need minutes."""
    for line in ("1" * 20_000 + ">", ":" * 20_000 + ">", "- " * 10_000 + "-->", "<" * 20_000 + ">",
                 "<b " * 7_000 + ">", "-->" * 7_000, "{\\" * 10_000,
                 "1 " * 10_000 + "-->", "<br " * 5_000):  # fmt: skip
        assert said(srt((0, 1, "word"), (1, 2, "end")) + line).startswith("word end")
