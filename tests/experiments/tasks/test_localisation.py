"""Localisation on tiny rendered worlds: scores beside their controls, by boxes and variant."""

import dataclasses
import json

import cli
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.loader import source
from prismlab.data.world import crowd, untrimmed, world
from prismlab.experiments.kit import task_contract
from prismlab.experiments.tasks import box_localisation, temporal_localisation
from prismlab.experiments.tasks.features import keeping, window_sequences
from prismlab.experiments.tasks.heads.localisation import (
    box_query,
    localisation_fit,
    segment_pyramid,
    spatial,
    temporal,
)
from prismlab.experiments.tasks.interface import boxes, protocols, segments
from prismlab.experiments.tasks.metrics.detection import frame_precision
from prismlab.experiments.tasks.readers.localisation import class_scores
from prismlab.experiments.tasks.readers.rendered_world import rendered_boxes, rendered_untrimmed

LOOKS = [world.World(resolution=16, frames=4, split=split) for split in ("train", "test")]
TRAINING = localisation_fit.Training(seeds=2, steps=2, batch_size=4)
MEMORY = keeping.Keeping("memory")


def rendered(make):
    return [source.Rendered(make(look), workers=0) for look in LOOKS]


LONG = rendered_untrimmed.RenderedUntrimmed(
    *rendered(lambda look: untrimmed.Untrimmed(look, clips=5, frames=24, most=1, shortest=8, longest=16))
)
CROWD = rendered_boxes.RenderedBoxes(*rendered(lambda look: crowd.Crowd(look, clips=8)))
SMALL = protocols.Protocol(frames=2, resolution=8, pooling="mean")
TIME = temporal_localisation.TemporalLocalisation(
    LONG, head=temporal.Temporal(segment_pyramid.SegmentPyramid(dim=4, levels=1), TRAINING),
    windows=window_sequences.Windows(1.0), protocol=SMALL, test_split="test", features=MEMORY,
)  # fmt: skip
SPACE = box_localisation.BoxLocalisation(
    CROWD, head=spatial.Spatial(box_query.BoxQuery(heads=1, size=2), TRAINING),
    metrics=(frame_precision.FramePrecision(), frame_precision.FramePrecision(variant="videoglue")),
    protocol=dataclasses.replace(SMALL, pooling="attention", crop="whole"), scored=("truth", "detections"),
    test_split="test", features=MEMORY, least=0.5,
)  # fmt: skip


def run(task):
    scores = task(task_contract.TOWERS, seed=0, cache=cli.CACHE)
    assert tuple(scores) == task.metric_names()
    return scores


@pytest.mark.long
class TestLocalisation(task_contract.TaskContract):
    """The contract that the kit gives to users' packages too."""

    kinds = (temporal_localisation.TemporalLocalisation, box_localisation.BoxLocalisation)
    examples = (TIME, SPACE)

    @pytest.fixture
    def cache(self):
        """Return the cache of these tests."""
        return cli.CACHE


@pytest.fixture(scope="module")
def external(tmp_path_factory):
    """Return the path of scores of a classifier that is always right."""
    found = LONG.read("test", cli.CACHE)
    scores = {item.key: [1.0 * (index in item.labels) for index in range(8)] for item in found.items}
    path = tmp_path_factory.mktemp("external") / "scores.json"
    path.write_text(json.dumps({"class": list(found.classes), "results": scores}))
    return path


@pytest.fixture(scope="module")
def times(external):
    """Return the scores of times: of the head, of its control, and with an external classifier."""
    return run(dataclasses.replace(TIME, external=class_scores.ClassScores(str(external))))


@pytest.mark.long
def test_times_are_scored_beside_shuffled_labels(times):
    scores = times
    assert list(scores)[:2] == ["mAP, tIoU .5:.95", "mAP, tIoU .5:.95, shuffled labels"]
    score, control, _ = scores.values()
    assert 0 <= score.value <= 1
    assert score.n == 5
    facts = score.protocol
    assert facts["shuffled-labels control"] == round(control.value, 6)
    assert facts["windows"] == "1 s every 1 s"
    assert facts["class scores"] == "own head on the same features"
    assert set(facts["by tIoU"]) == {f"{0.5 + 0.05 * step:g}" for step in range(10)}
    assert len(facts["by head seed"]) == 2
    assert len(score.outcomes["keys"]) == 5
    examples = facts["examples"]
    assert [each["key"] for each in examples] == score.outcomes["keys"]
    first = LONG.read("test", cli.CACHE).items[0].extra[segments.SEGMENTS]
    time = examples[0]["time"]
    assert time["seconds"] == 3.0
    assert time["rows"][0] == ["annotated", [(each.start, each.end, each.label, 1.0) for each in first]]
    name, said = time["rows"][1]
    assert name == "says"
    assert 1 <= len(said) <= 4
    assert said[0][3] == 1.0  # the surest first
    assert all(0 <= start < end <= 3 for start, end, _, _ in said)
    assert "examples" not in control.protocol


@pytest.mark.long
def test_an_external_classifier_is_a_score_of_its_own_name(times, tmp_path):
    found = LONG.read("test", cli.CACHE)
    own, _, other = times
    assert (own, other) == ("mAP, tIoU .5:.95", "mAP, tIoU .5:.95, external classifier")
    said = [times[name].protocol["class scores"] for name in (own, other)]
    assert said == ["own head on the same features", "external classifier, 2 surest classes a video"]
    path = tmp_path / "scores.json"
    given = class_scores.ClassScores(str(path))
    path.write_text(json.dumps({"class": list(found.classes), "results": {}}))
    with pytest.raises(
        errors.UserError, match="expected 8 scores of 0 or more for each video, found none of"
    ):
        given.of(found)
    path.write_text(json.dumps({"class": ["a"], "results": {}}))
    with pytest.raises(errors.UserError, match="expected scores of the 8 classes"):
        given.of(found)
    path.write_text("{}")
    with pytest.raises(errors.UserError, match="a list 'class' and an object 'results'"):
        given.of(found)


@pytest.mark.long
def test_boxes_are_scored_by_name_of_their_source_and_variant():
    scores = run(SPACE)
    assert list(scores)[:3] == [
        "frame mAP, IoU .5, annotated boxes",
        "frame mAP, IoU .5, annotated boxes, shuffled labels",
        "frame mAP, IoU .5 (flattering: videoglue), annotated boxes",
    ]
    assert len(scores) == 8
    facts = scores["frame mAP, IoU .5, detections"].protocol
    assert facts["boxes"] == "detections"
    assert facts["least score of a detection"] == 0.5
    given = CROWD.read("test", cli.CACHE).items
    kept = [each for item in given for each in item.extra[boxes.DETECTIONS] if each.score >= 0.5]
    assert facts["detections"] == len(kept)
    found = scores["frame mAP, IoU .5, annotated boxes"].value
    assert 0 < scores["frame mAP, IoU .5, detections"].value <= found
    truth, detected = (
        scores[f"frame mAP, IoU .5, {source}"].protocol["examples"][0]
        for source in ("annotated boxes", "detections")
    )
    right = [list(box.shares) for box in given[0].extra[boxes.BOXES]]
    assert truth["boxes"] == [["annotated", number, box] for number, box in enumerate(right, 1)]
    assert len(truth["lines"]) == 2 * len(right)
    assert detected["boxes"][: len(right)] == truth["boxes"]
    assert {kind for kind, _, _ in detected["boxes"]} == {"annotated", "detected"}
    others = [each for name, each in scores.items() if "flattering" in name or "shuffled" in name]
    assert all("examples" not in each.protocol for each in others)


@pytest.mark.long
def test_the_worlds_give_times_boxes_and_detections():
    found = LONG.read("train", cli.CACHE)
    assert all(item.extra[segments.DURATION] == 3.0 for item in found.items)
    assert all(
        1 <= each.end - each.start <= 2 for item in found.items for each in item.extra[segments.SEGMENTS]
    )
    window = window_sequences.Windows(1.0).cut(found).items[1]
    clip = found.load(window)
    assert (clip.start, clip.end) == (1.0, 2.0)
    crowded = CROWD.read("train", cli.CACHE)
    assert crowded.classes[:2] == ("right", "left")
    assert all(len(box.labels) == 2 for item in crowded.items for box in item.extra[boxes.BOXES])
    same = rendered_boxes.Jitter(1.0, 0.0, 0.0)("x", crowded.items[0].extra[boxes.BOXES])
    assert [each.shares for each in same] == [box.shares for box in crowded.items[0].extra[boxes.BOXES]]
    with pytest.raises(errors.UserError, match="splits train and test, got 'val'"):
        LONG.read("val", cli.CACHE)
    with pytest.raises(errors.UserError, match=r"no sprites; set source\.Rendered"):
        rendered_boxes.RenderedBoxes(LONG.train, LONG.test).read("train", cli.CACHE)
    with pytest.raises(errors.UserError, match=r"no segments; set source\.Rendered"):
        rendered_untrimmed.RenderedUntrimmed(CROWD.train, CROWD.test).read("train", cli.CACHE)


def test_jitter_keeps_about_the_overlap_that_is_asked_for():
    one = boxes.Box((0.3, 0.3, 0.6, 0.7), (0,))
    found = [rendered_boxes.Jitter(0.7, 0.2, 0.0)(f"clip {index}", (one,)) for index in range(300)]
    kept = np.asarray([each[0].shares for each in found if each])
    assert 0.1 < 1 - len(kept) / 300 < 0.3
    assert 0.65 < boxes.overlap(kept, np.asarray([one.shares])).mean() < 0.75


@pytest.mark.parametrize(
    ("task", "change", "said"),
    [
        (TIME, {"protocol": protocols.Protocol()}, "a vector for each window or frame"),
        (TIME, {"metrics": ()}, "at least one metric"),
        (SPACE, {"protocol": protocols.Protocol()}, "crop='whole', got 'centre'"),
        (SPACE, {"protocol": protocols.Protocol(crop="whole", pooling="mean")}, "all tokens of one view"),
        (SPACE, {"scored": ("guesses",)}, "scored of"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, change, said):
    with pytest.raises(errors.UserError, match=said):
        dataclasses.replace(task, **change)


def test_a_detector_that_finds_nothing_is_named():
    with pytest.raises(errors.UserError, match="no detection of a score of 2 or more"):
        run(dataclasses.replace(SPACE, least=2.0))
