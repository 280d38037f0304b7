"""Pictures of the page: drawn once, from the recipe; shown without it, and only if they are pictures."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from prismlab.core import errors
from prismlab.data.records import record
from prismlab.experiments.results import clip_pictures, page_pictures


def picture(path, size=(4, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, format="PNG")


def test_only_pictures_of_a_bounded_size_are_read(tmp_path, monkeypatch):
    path = page_pictures.of_clip(tmp_path, "../../etc/passwd\ud800")
    assert path.parent == tmp_path / "clips"
    assert page_pictures.read(path) is None
    picture(path)
    assert page_pictures.read(path) == path.read_bytes()
    path.write_bytes(b"<svg>")
    assert page_pictures.read(path) is None
    picture(path)
    monkeypatch.setattr(page_pictures, "MOST_BYTES", 10)
    assert page_pictures.read(path) is None


class Source:
    """Three clips of one picture each; counts how often it is opened."""

    def __init__(self, folder):
        self.folder, self.opened = folder, 0

    def open(self, cache):
        del cache
        self.opened += 1
        picture(self.folder / "frame.png", (64, 48))
        data = (self.folder / "frame.png").read_bytes()
        return [record.Record(f"clip {number}", data, "words", kind="image") for number in range(3)]


class Task:
    def __init__(self, source):
        self.test = source

    def metric_names(self):
        return ("motion",)


def test_wanted_clips_are_drawn_once(tmp_path):
    source = Source(tmp_path)
    line = type(
        "Line", (), {"evaluations": [type("Evaluation", (), {"name": "probe", "task": Task(source)})]}
    )
    clip = lambda key: clip_pictures.page_facts.Disagreement(key, 1.0, 0.0)
    each = clip_pictures.page_facts.Disagreements(
        "a", "b", "motion", (clip("clip 1"), clip("no such clip")), (clip("clip 2"),), (2, 1, 0)
    )
    clip_pictures._draw_clips(each, line, tmp_path, pathlib.Path())
    names = [page_pictures.of_clip(tmp_path, f"clip {number}").exists() for number in range(3)]
    assert names == [False, True, True]
    assert np.asarray(Image.open(page_pictures.of_clip(tmp_path, "clip 1"))).shape == (64, 85, 3)
    other = clip_pictures.page_facts.Disagreements("a", "b", "motion", each.gained[:1], (), (1, 0, 0))
    clip_pictures._draw_clips(other, line, tmp_path, pathlib.Path())
    assert source.opened == 1


def test_what_cannot_be_drawn_is_reported_and_ends_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise errors.UserError("the disk is full")

    monkeypatch.setattr(clip_pictures.disagreement, "of", fail)
    said = []
    found = type("Gathered", (), {"table": None, "items": {}})
    clip_pictures.draw(found, [], None, tmp_path, said.append)
    assert said == ["pictures of clips are missing on the page: the disk is full"]


@pytest.mark.parametrize("steps", [clip_pictures.WORTH_STEPS - 1])
def test_a_short_stage_is_not_worth_a_picture(tmp_path, steps):
    inputs = {"configuration": {"objectives": {"class": "prismlab.core.train.masking.Tube"}}}
    planned = type("Planned", (), {"stage": type("Stage", (), {"steps": steps}), "inputs": inputs})
    clip_pictures._draw_seen(planned, tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())
