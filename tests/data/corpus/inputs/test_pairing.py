"""Each video gets the transcript that is meant for it, or none."""

import pytest

from prismlab.core import errors
from prismlab.data.corpus.inputs import pairing, transcripts

SRT = "00:00:00,000 --> 00:00:04,000\n{}.\n"


def found(*names: str, language: str | None = None) -> dict[str, tuple[str, ...]]:
    return dict(pairing.pairs(sorted(names), language))


def test_another_part_has_its_own_transcript() -> None:
    assert found("talk.mp4", "talk.part2.mp4", "talk.part2.vtt") == {
        "talk.mp4": (),
        "talk.part2.mp4": ("talk.part2.vtt",),
    }
    assert found("talk.mp4", "talk.part2.mp4", "talk.part2.en.vtt", "talk.srt") == {
        "talk.mp4": ("talk.srt",),
        "talk.part2.mp4": ("talk.part2.en.vtt",),
    }
    assert found("a.de.mp4", "a.de.vtt", "a.mp4", "a.en.vtt", language="de") == {
        "a.de.mp4": ("a.de.vtt",),
        "a.mp4": (),
    }


@pytest.mark.parametrize(
    ("texts", "language", "chosen"),
    [
        (("one.de.vtt", "one.en.vtt"), None, {"one.de.vtt", "one.en.vtt"}),
        (("one.de.vtt", "one.en.vtt"), "en", {"one.en.vtt"}),
        (("one.de.vtt", "one.en-US.vtt"), "en", {"one.en-US.vtt"}),
        (("one.en-orig.vtt", "one.en.vtt"), "en", {"one.en.vtt"}),
        (("one.en-GB.srt", "one.en-US.srt"), "en-us", {"one.en-US.srt"}),
        (("one.de.vtt",), "en", set()),
        (("one.de.vtt",), None, {"one.de.vtt"}),
        (("one.vtt", "one.de.vtt"), None, {"one.vtt"}),
        (("one.vtt", "one.de.vtt"), "de", {"one.de.vtt"}),
        (("one.vtt",), "de", {"one.vtt"}),
        (("one.info.json", "one.ru.vtt"), None, {"one.ru.vtt"}),
        (("one.info.json", "one.live_chat.json"), None, set()),
        (("one.json", "one.srt", "one.vtt"), None, {"one.srt"}),
        (("one.json", "one.info.json"), None, {"one.json"}),
        (("one.whisper.json", "one.en.vtt"), None, {"one.en.vtt"}),
        (("one.large-v3.json",), "en", {"one.large-v3.json"}),
        (("one.en.auto.vtt",), "en", {"one.en.auto.vtt"}),
        (("one1.vtt", "one-2.vtt", "on.vtt"), None, set()),
    ],
)
def test_the_best_of_several(texts, language, chosen) -> None:
    assert set(found("one.mp4", *texts, language=language)["one.mp4"]) == chosen


def test_several_languages_and_none_chosen(tmp_path) -> None:
    for name in ("one.de.srt", "one.en.srt", "one.d/two.srt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(SRT.format(name))
    for name in ("one.mp4", "one.d/two.mp4"):
        (tmp_path / name).touch()
    home = transcripts.Transcripts(str(tmp_path))
    (unit,) = home.units()
    first, second = home.read(unit)
    assert "found one.de.srt, one.en.srt; set Transcripts.language" in first.cuts[0].fault
    assert second.cuts[0].caption == "one.d/two.srt."
    home = transcripts.Transcripts(str(tmp_path), language="en")
    assert next(home.read(next(home.units()))).cuts[0].caption == "one.en.srt."
    home = transcripts.Transcripts(str(tmp_path), language="fr")
    fault = next(home.read(next(home.units()))).cuts[0].fault
    assert fault.endswith("one of .srt, .vtt, .json, in 'fr' (Transcripts.language)")


@pytest.mark.parametrize("wrong", [-0.1, 1.0])
def test_wrong_limits(wrong) -> None:
    with pytest.raises(errors.UserError, match="max_bad_cues in"):
        transcripts.Transcripts("root", max_bad_cues=wrong)
