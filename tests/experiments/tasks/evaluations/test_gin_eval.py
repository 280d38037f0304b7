"""Every gin file of a benchmark is read strictly, and states the protocol and the numbers of the paper."""

import json
import pathlib
import re

import cli
import jax
import numpy as np
import pytest
import tiny

from prismlab.core.train import optim
from prismlab.data.video import encode
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.tasks import (
    benchmark,
    box_localisation,
    captioning,
    multiple_choice,
    question_answering,
    retrieval,
    temporal_localisation,
    zero_shot,
)
from prismlab.experiments.tasks.evaluations import catalog, evaluation  # fmt: skip

FOLDER = pathlib.Path(catalog.__file__).parents[2] / "gin" / "eval"
FILES = sorted(path.name for path in FOLDER.glob("*.gin"))
WORDS = (captioning.Captioning, question_answering.QuestionAnswering)
ZERO = (retrieval.Retrieval, zero_shot.ZeroShot, multiple_choice.MultipleChoice)


def load(name, *more):
    text = (FOLDER / name).read_text(encoding="utf-8")
    made_up = [
        "LANGUAGE=@models.GgufFile()" if macro == "LANGUAGE" else f"{macro}='made/up/{macro}.csv'"
        for macro in re.findall(r"^(\w+) = %gin.REQUIRED", text, re.M)
    ]
    if "LANGUAGE=@models.GgufFile()" in made_up:
        made_up.append("models.GgufFile.path='made/up.gguf'")
    return strict.load(f"eval/{name}", [*made_up, *more], (evaluation.Evaluation,)).root


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_read_strictly_with_made_up_paths(name):
    root = load(name)
    assert isinstance(root, evaluation.Evaluation)
    readers = [getattr(task, "reader", None) for task in root.tasks.values()]
    assert all(readers)


@pytest.mark.parametrize("row", [row for row in catalog.ROWS if row.gin], ids=lambda row: row.benchmark)
def test_a_file_states_the_paper_and_its_protocol(row):
    text = (FOLDER.parent / row.gin).read_text(encoding="utf-8")
    head = text[: text.index("from __gin__")]
    assert f"{row.base:g}" in head
    assert f"{row.giant:g}" in head
    assert f"prismlab eval {row.gin} " in head
    (task,) = load(pathlib.Path(row.gin).name).tasks.values()
    how = task.protocol
    assert (how.frames, how.resolution) == (16, 288)
    spread = "spread" if how.stride is None else f"stride {how.stride}"
    assert row.protocol == f"{spread}, {how.clips}x{how.views // how.clips}, {how.pooling}"
    if isinstance(task, benchmark.Benchmark):
        assert task.head.classifier.heads == 12
        assert task.head.classifier.hidden_dim == 768
        assert how.pooling == "attention"
        assert task.features.mode == "streamed"
    elif isinstance(task, box_localisation.BoxLocalisation):
        assert (task.head.query.heads, task.head.query.hidden_dim, task.head.query.size) == (12, 768, 7)
        assert (how.crop, task.features.mode) == ("whole", "streamed")
    elif isinstance(task, temporal_localisation.TemporalLocalisation):
        assert (how.pooling, task.windows.seconds, task.windows.hop) == ("mean", 16 / 15, None)
    elif isinstance(task, WORDS):
        assert (task.bridge.latents, task.bridge.steps, task.bridge.batch_size) == (256, 200_000, 256)
        assert (task.tokens, task.control, how.pooling) == (32, True, "attention")
        assert task.bridge.optimizer.schedule == optim.Schedule(5e-4, 10_000, decay="linear")
    else:
        assert isinstance(task, ZERO)
        assert how.views == 1


@pytest.mark.parametrize(
    ("name", "steps", "stride", "views"),
    [
        ("kinetics400", 138_101, 4, 12),
        ("moments", 154_550, 4, 12),
        ("something", 60_000, None, 3),
        ("diving48", 5_869, 4, 12),
        ("charades", 40_896, 5, 12),
        ("calms21", 40_000, 1, 3),
        ("kabr", 40_000, 5, 3),
    ],
)
def test_steps_and_views_are_those_of_videoglue(name, steps, stride, views):
    (task,) = load(f"{name}.gin").tasks.values()
    assert task.head.grid.steps == steps
    assert (task.protocol.stride, task.protocol.views) == (stride, views)


def test_a_released_model_gets_its_tokenizer_from_the_command_line():
    (task,) = load(
        "msrvtt.gin", "TOKENIZER=@tokenizer.Tokenizer()", "tokenizer.Tokenizer.model='a.model'"
    ).tasks.values()
    assert task.tokenizer.model == "a.model"
    (task,) = load("msrvtt.gin").tasks.values()
    assert task.tokenizer is None


def test_every_benchmark_has_a_file():
    assert [row.benchmark for row in catalog.ROWS if not row.gin] == []


@pytest.mark.parametrize(
    ("name", "source", "least"),
    [("ava", "detections", 0.8), ("ava_kinetics", "detections", 0.2), ("chimpact", "truth", 0.0)],
)
def test_boxes_are_those_of_the_paper(name, source, least):
    (task,) = load(f"{name}.gin").tasks.values()
    assert (task.scored[0], task.least) == (source, least)
    assert task.metrics[0].variant == "official"


SMALL = (
    "FRAMES=2", "RESOLUTION=16", "STEPS=2", "WARMUP=0", "BATCH=2", "HEADS=1", "WIDTH=None", "CLIPS=1",
    "RATES=(1e-3,)", "FEATURES='memory'",
)  # fmt: skip


def run(name, *bindings):
    loaded = strict.load(f"eval/{name}.gin", [*SMALL, *bindings], (evaluation.Evaluation,))
    (task,) = loaded.root.tasks.values()
    return task({"video": tiny.QUICK["video"](key=jax.random.key(0))}, seed=0, cache=cli.CACHE)


def clips(folder, names, frames=4):
    folder.mkdir()
    for number, name in enumerate(names):
        shade = np.full((frames, 16, 16, 3), 20 * number, np.uint8)
        (folder / f"{name}.mp4").write_bytes(encode.encode(shade, 30))


def test_a_benchmark_runs_and_reports_missing_clips_and_absent_classes(tmp_path):
    clips(tmp_path / "videos", [f"x{number}" for number in range(8)])
    (tmp_path / "vocabulary.json").write_text(json.dumps([[str(number)] for number in range(48)]))
    row = lambda number: {"vid_name": f"x{number}", "label": number % 2, "start_frame": 0, "end_frame": 4}
    (tmp_path / "train.json").write_text(json.dumps([row(number) for number in (0, 1, 2, 3, 8)]))
    (tmp_path / "test.json").write_text(json.dumps([row(number) for number in (4, 5, 6, 7, 9, 10)]))
    scores = run(
        "diving48", f"VIDEOS='{tmp_path}/videos'", f"VOCABULARY='{tmp_path}/vocabulary.json'",
        f"TRAIN='{tmp_path}/train.json'", f"TEST='{tmp_path}/test.json'",
    )  # fmt: skip
    assert list(scores) == ["top-1 accuracy", "macro accuracy"]
    for score in scores.values():
        assert score.n == 4
        assert score.protocol["missing"] == 2
        assert sorted(score.protocol["missing clips"]) == ["x10", "x9"]
        assert score.protocol["train clips missing"].startswith("1 (first: x8: no video of this name")
        assert score.protocol["classes that never occur"].startswith("46: 2, 3")
        assert score.protocol["size"] == "6 clips annotated, 1970 published"


@pytest.mark.slow
def test_a_table_of_ones_own_names_classes_and_warns_of_a_single_one(tmp_path):
    clips(tmp_path / "videos", [f"x{number}" for number in range(9)])
    rows = [f"videos/x{number}.mp4,{'ab'[number % 2]},train" for number in range(6)]
    rows += ["videos/x6.mp4,a,test", "videos/x7.mp4,a,test", "videos/gone.mp4,b,test"]
    (tmp_path / "mine.csv").write_text("\n".join(["path,label,split", *rows]))
    small = ("FRAMES=2", "RESOLUTION=16", "head_grid.Grid.steps=2", "head_grid.Grid.batch_size=2",
             "probe.Attention.heads=1")  # fmt: skip
    table = f"TABLE='{tmp_path}/mine.csv'"
    loaded = strict.load("eval/labelled.gin", [table, *small], (evaluation.Evaluation,))
    (task,) = loaded.root.tasks.values()
    scores = task({"video": tiny.video_tower(key=jax.random.key(0))}, seed=0, cache=cli.CACHE)
    for score in scores.values():
        assert (score.n, score.protocol["missing"]) == (2, 1)
        told = score.protocol["classes that never occur"]
        assert told == "1: b; only one class occurs: a score says nothing"


@pytest.mark.long
def test_several_labels_and_the_variants_of_average_precision(tmp_path):
    clips(tmp_path / "videos", ["A", "B", "C", "D", "E"])
    classes = "".join(f"c{number:03d} class {number}\n" for number in range(157))
    (tmp_path / "classes.txt").write_text(classes)
    actions = {"A": "c000 0 1;c002 0 1", "B": "c001 0 1", "C": "", "D": "c000 0 1", "E": "c002 0 1"}
    table = "id,actions\n" + "".join(f"{name},{text}\n" for name, text in actions.items())
    (tmp_path / "table.csv").write_text(table)
    scores = run(
        "charades", f"VIDEOS='{tmp_path}/videos'", f"CLASSES='{tmp_path}/classes.txt'",
        f"TRAIN='{tmp_path}/table.csv'", f"TEST='{tmp_path}/table.csv'",
    )  # fmt: skip
    assert list(scores) == ["mAP", "mAP (charades)", "mAP (keras)"]
    assert all(score.n == 5 for score in scores.values())
    assert scores["mAP"].protocol["videos without a label"] == 1
    assert scores["mAP"].protocol["classes averaged"] == 3


@pytest.mark.long
def test_windows_of_frames_are_scored_without_the_background(tmp_path):
    clips(tmp_path / "videos", ["mouse001_task1", "mouse002_task1"], frames=12)
    groups = lambda *names: {
        "a": {f"task1/x/{name}": {"annotations": [0, 3, 1, 3] * 3} for name in names}
    }  # fmt: skip
    (tmp_path / "train.json").write_text(json.dumps(groups("mouse001_task1", "mouse002_task1")))
    (tmp_path / "test.json").write_text(json.dumps(groups("mouse002_task1", "mouse003_task1")))
    scores = run(
        "calms21", f"VIDEOS='{tmp_path}/videos'", f"TRAIN='{tmp_path}/train.json'",
        f"TEST='{tmp_path}/test.json'", "EVERY=3",
    )  # fmt: skip
    (score,) = scores.values()
    assert score.n == 4
    assert score.protocol["missing"] == 4
    assert score.protocol["left out"] == ["other"]
