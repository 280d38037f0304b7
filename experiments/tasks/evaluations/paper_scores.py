"""Which score of an evaluation is a number of the paper, and to which of its four groups a task belongs."""

import dataclasses
from typing import Any

from prismlab.experiments.tasks import (
    benchmark,
    box_localisation,
    captioning,
    multiple_choice,
    probe,
    question_answering,
    retrieval,
    temporal_localisation,
    zero_shot,
)
from prismlab.experiments.tasks.evaluations import catalog

VIDEO, TEXT, WORDS = "video understanding", "retrieval and zero-shot", "captions and questions"
SCIENCE = "video for science"
GROUPS = (VIDEO, TEXT, WORDS, SCIENCE)  # in the order of the paper

_GROUP_OF_ROW = {
    "video classification": VIDEO, "localisation": VIDEO, "retrieval": TEXT,
    "zero-shot classification": TEXT, "language": WORDS, "science": SCIENCE,
}  # fmt: skip
_GROUP_OF_TASK: dict[type, str] = {
    benchmark.Benchmark: VIDEO, probe.AttentiveProbe: VIDEO, box_localisation.BoxLocalisation: VIDEO,
    temporal_localisation.TemporalLocalisation: VIDEO, retrieval.Retrieval: TEXT,
    zero_shot.ZeroShot: TEXT, multiple_choice.MultipleChoice: TEXT, captioning.Captioning: WORDS,
    question_answering.QuestionAnswering: WORDS,
}  # fmt: skip
# Benchmark -> (task of its gin file, score), where the names are others than those of the catalog.
_NAMED = {
    # The paper's classes of ActivityNet come from an external classifier.
    "ActivityNet 1.3": ("ActivityNet", "mAP, tIoU .5:.95 (official), external classifier"),
    "AVA 2.2": ("AVA", "frame mAP, IoU .5, detections"),
    "AVA-Kinetics": ("AVA-Kinetics", "frame mAP, IoU .5, detections"),
    "ChimpACT": ("ChimpACT", "frame mAP, IoU .5, annotated boxes"),
    "MSRVTT-QA": ("MSRVTT-QA", "top-1 (closed 250)"),
    "MSVD-QA": ("MSVD-QA", "top-1 (closed 250)"),
    "NExT-QA open-ended": ("NExT-QA open-ended", "WUPS (morphy) (closed 250)"),
}
_DATA = {"MSRVTT": "MSRVTT 1kA", "VATEX": "VATEX", "ActivityNet": "ActivityNet paragraphs"}  # of retrieval
# The numbers of the paper for two data sets fit the metric of their source (eval/something_temporal.gin).
_METRICS = {"top-1": "top-1 accuracy", "mAP (the paper: top-1)": "mAP"}


@dataclasses.dataclass(frozen=True)
class Place:
    """The paper's scores for the same data set and metric, and the group of the task.

    Args:
        group: one of `GROUPS`; "" for a task of another kind.
        base, giant: the paper's scores of VideoPrism-B and g as shares (CIDEr: in [0, 10]) if data set and
            metric are the same, or None.
        otherwise: why there is no such score; "" if there is.
    """

    group: str
    base: float | None = None
    giant: float | None = None
    otherwise: str = ""


def scored(row: catalog.Row) -> tuple[str, str]:
    """Return the names of the task and of the score that are a benchmark of the catalog."""
    if row.benchmark in _NAMED:
        return _NAMED[row.benchmark]
    for way in ("text to video", "video to text"):
        if row.benchmark.endswith(way):
            return _DATA[row.benchmark.removesuffix(way).strip()], f"{way.replace(' ', '_')}_{row.metric}"
    return row.benchmark, _METRICS.get(row.metric, row.metric)


def place(name: str, task: Any, score: str) -> Place:
    """Return the paper's scores for a score of an evaluation, and its group.

    Args:
        name: name of the task in its evaluation.
        task: the task.
        score: name of the score.
    """
    for row in catalog.ROWS:
        if scored(row) == (name, score):
            return Place(_GROUP_OF_ROW[row.group], row.base / 100, row.giant / 100)
    group = next((found for kind, found in _GROUP_OF_TASK.items() if type(task) is kind), "")
    of_task = [_GROUP_OF_ROW[row.group] for row in catalog.ROWS if scored(row)[0] == name]
    made_up = type(getattr(task, "reader", None)).__module__.rpartition(".")[2].startswith("rendered")
    why = "rendered world: not comparable" if made_up else "no such score in the paper"
    return Place(of_task[0] if of_task else group, otherwise=why)
