"""The doctor finds each fault that was planted, and nothing in sound data."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from prismlab.core import errors
from prismlab.data.corpus import clip_report, doctor, prepare_corpus
from prismlab.data.corpus.inputs import table
from prismlab.data.records import record, shards
from prismlab.data.video import encode
from prismlab.data.world import render, world

WORLD = world.World(clips=6, resolution=32, frames=4, fps=4, pixel_noise=0.0)
CLIPS = [WORLD.video(index) for index in range(6)]


def clip(key: str, index: int, caption: str = "a caption of words", **more) -> record.Record:
    return record.Record(key, more.pop("video", None) or encode.encode(CLIPS[index], 4, **more), caption)


def examined(tmp_path, records, name="set") -> list[clip_report.Finding]:
    shards.write_shards(iter(records), tmp_path / name)
    return doctor.examine({name: str(tmp_path / name)}, 0, sampled=2, resolution=16)


def test_sound_data_has_no_problem(tmp_path) -> None:
    told = doctor.report(
        examined(tmp_path, [clip(f"c{i}", i, f"a caption of clip {i}") for i in range(6)]), 100.0
    )
    assert not any(each["clips"] for each in (*told["problems"].values(), *told["captions"].values()))
    assert told["codecs"] == {"h264": 6}
    roof = told["roofline"]
    assert roof["workers"] == int(np.ceil(100 / roof["clips_per_second_per_core"]))
    json.dumps(told, allow_nan=False)


def test_planted_faults_are_named(tmp_path) -> None:
    whole = encode.encode(CLIPS[0], 4)
    far = encode.encode(np.tile(CLIPS[2], (20, 1, 1, 1)), 4, gop=250)
    told = doctor.report(
        examined(
            tmp_path,
            [
                clip("sound", 0, "Ã© is é wrongly read"),
                clip("cut", 0, "see https://a.example", video=whole[: len(whole) // 2]),
                clip("blank", 1, "two words", video=encode.encode(np.zeros((4, 32, 32, 3), np.uint8), 4)),
                clip("far", 2, "the the the word", video=far),
                clip("again", 0, "Ã© is é wrongly read", crf=30),
            ],
        ),
        None,
    )  # fmt: skip
    problems = {name: each["clips"] for name, each in told["problems"].items() if each["clips"]}
    assert problems == {"cannot be read": 1, "blank": 1, "more than 60 frames between key frames": 1}
    captions = {name for name, each in told["captions"].items() if each["clips"]}
    assert captions == {"wrongly decoded (such as Ã© for é)", "a web address", "fewer than 3 words",
                        "a word three times in a row", "said of several clips"}  # fmt: skip
    (pair,) = told["duplicates"]
    assert {pair["one"], pair["other"]} == {"set: sound", "set: again"}
    assert told["roofline"]["workers"] is None


def test_a_liar_about_its_frames(tmp_path) -> None:
    # stts and stsz say how many frames an MP4 has; the first sample's time is told to last for ninety-nine.
    (found,) = examined(tmp_path, [clip("sound", 0)])
    liar = dataclasses.replace(found, claimed=found.frames + 1)
    told = doctor.report([found, liar], None)
    assert told["problems"]["container promises another number of frames"]["clips"] == 1


def test_duplicates_across_sets_survive_size_and_coding() -> None:
    def finding(home: str, index: int, side: int) -> clip_report.Finding:
        frames = [np.asarray(Image.fromarray(f).resize((side, side))) for f in CLIPS[index]]
        looks = [clip_report.look(frames[len(frames) * quarter // 4]) for quarter in (1, 2, 3)]
        return clip_report.Finding(home, str(index), looks=tuple(looks))

    mine = [finding("train", index, 32) for index in range(6)]
    theirs = [finding("test", index, 48) for index in (2, 4)]
    pairs = {(a.home, a.key, b.home, b.key) for a, b, _ in clip_report.alike(mine + theirs)}
    assert {("train", "2", "test", "2"), ("train", "4", "test", "4")} <= pairs
    assert all(a == c for _, a, _, c in pairs)


def test_raw_files_are_examined_before_they_are_prepared(tmp_path) -> None:
    render.render(WORLD, tmp_path, workers=0)
    (tmp_path / "clips.csv").write_text(
        "path,text\nvideos/000000.mp4,one two three\nmissing.mp4,one two three\n"
    )
    found = doctor.examine({"raw": prepare_corpus.Corpus(table.Table(str(tmp_path / "clips.csv")))}, 0)
    assert [bool(each.fault) for each in found] == [False, True]
    assert "expected a file, found none" in found[1].fault


def test_a_folder_without_shards(tmp_path) -> None:
    with pytest.raises(errors.UserError, match="expected the manifest of finished shards"):
        doctor.examine({"none": str(tmp_path)}, 0)
