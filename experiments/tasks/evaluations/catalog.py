"""The 33 benchmarks of the paper: group, sizes, metric, the paper's numbers, and the gin file that runs each.

Source: VideoPrism Tables 2 to 7 (B and g); sizes and classes from annotation files and the data sets' papers.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """One benchmark.

    Args:
        benchmark: its name.
        group: one of the paper's four groups.
        split: the split that is scored.
        size: items of that split, as a text; "?" if no source states it.
        classes: number of classes, or "-".
        metric: the metric of the paper.
        protocol: of its gin file: frames spread over the clip or with a stride, views along time x crops,
            pooling.
        base, giant: the paper's numbers for VideoPrism-B and VideoPrism-g, frozen.
        gin: name of the gin file that runs it, or "" if it cannot run yet.
    """

    benchmark: str
    group: str
    split: str
    size: str
    classes: str
    metric: str
    protocol: str
    base: float
    giant: float
    gin: str = ""


_CLASSIFY, _LOCALISE = "video classification", "localisation"
_RETRIEVE, _ZERO, _LANGUAGE, _SCIENCE = "retrieval", "zero-shot classification", "language", "science"
# How clips are shown, in the words of `Row.protocol`.
_PACED = "stride 4, 4x3, attention"
_POOLED = "spread, 1x1, tower"
_TOKENS = "spread, 1x1, attention"
_FRAMES = "stride 1, 1x3, attention"
ROWS = (
    Row("Kinetics-400", _CLASSIFY, "val", "19,906", "400", "top-1",
        _PACED, 84.2, 87.2, "eval/kinetics400.gin"),
    Row("Moments in Time", _CLASSIFY, "val", "33,898", "339", "top-1",
        _PACED, 40.8, 45.5, "eval/moments.gin"),
    Row("Something-Something v2", _CLASSIFY, "val", "24,777", "174", "top-1",
        "spread, 1x3, attention", 63.6, 68.5, "eval/something.gin"),
    Row("Diving48 V2", _CLASSIFY, "test", "1,970", "48", "top-1", _PACED, 67.4, 71.3, "eval/diving48.gin"),
    Row("Charades", _CLASSIFY, "test", "1,863", "157", "mAP",
        "stride 5, 4x3, attention", 40.4, 62.3, "eval/charades.gin"),
    Row("ActivityNet 1.3", _LOCALISE, "val", "4,926", "200", "mAP, tIoU .5:.95",
        "spread, 1x1, mean", 36.6, 37.8, "eval/activitynet.gin"),
    Row("AVA 2.2", _LOCALISE, "val", "57,371", "60", "mAP, IoU .5", _TOKENS, 30.6, 36.2, "eval/ava.gin"),
    Row("AVA-Kinetics", _LOCALISE, "val", "91,919", "60", "mAP, IoU .5",
        _TOKENS, 31.8, 37.3, "eval/ava_kinetics.gin"),
    Row("MSRVTT text to video", _RETRIEVE, "1kA", "1,000", "-", "R@1",
        _POOLED, 51.4, 52.7, "eval/msrvtt.gin"),
    Row("MSRVTT video to text", _RETRIEVE, "1kA", "1,000", "-", "R@1",
        _POOLED, 50.2, 51.7, "eval/msrvtt.gin"),
    Row("VATEX text to video", _RETRIEVE, "test", "?", "-", "R@1", _POOLED, 57.7, 62.5, "eval/vatex.gin"),
    Row("VATEX video to text", _RETRIEVE, "test", "?", "-", "R@1", _POOLED, 76.2, 77.1, "eval/vatex.gin"),
    Row("ActivityNet text to video", _RETRIEVE, "val_1", "4,917", "-", "R@1",
        _POOLED, 49.6, 52.7, "eval/paragraphs.gin"),
    Row("ActivityNet video to text", _RETRIEVE, "val_1", "4,917", "-", "R@1",
        _POOLED, 47.9, 50.3, "eval/paragraphs.gin"),
    Row("Kinetics-400 zero-shot", _ZERO, "val", "19,906", "400", "top-1",
        _POOLED, 71.3, 76.4, "eval/kinetics400_zero_shot.gin"),
    Row("Kinetics-600 zero-shot", _ZERO, "val", "30,000", "600", "top-1",
        _POOLED, 69.7, 75.6, "eval/kinetics600_zero_shot.gin"),
    Row("SSv2-Temporal", _ZERO, "test", "216", "18", "mAP (the paper: top-1)",
        _POOLED, 16.1, 18.6, "eval/something_temporal.gin"),
    Row("SSv2-Events", _ZERO, "test", "588", "49", "mAP (the paper: top-1)",
        _POOLED, 11.9, 15.7, "eval/something_events.gin"),
    Row("NExT-QA ATP-hard", _ZERO, "val", "2,269", "5 options", "accuracy",
        _POOLED, 31.3, 32.7, "eval/nextqa.gin"),
    Row("Charades zero-shot", _ZERO, "test", "1,863", "157", "mAP",
        _POOLED, 29.2, 32.4, "eval/charades_zero_shot.gin"),
    Row("Charades-STA", _ZERO, "test", "3,720", "1 to 8 options", "accuracy",
        _POOLED, 50.0, 50.4, "eval/charades_sta.gin"),
    Row("MSRVTT captions", _LANGUAGE, "test", "2,990", "-", "CIDEr",
        _TOKENS, 40.3, 38.5, "eval/msrvtt_captions.gin"),
    Row("VATEX captions", _LANGUAGE, "test", "?", "-", "CIDEr",
        _TOKENS, 24.2, 31.7, "eval/vatex_captions.gin"),
    Row("YouCook2 captions", _LANGUAGE, "val", "457", "-", "CIDEr",
        _TOKENS, 52.3, 63.6, "eval/youcook2_captions.gin"),
    Row("MSRVTT-QA", _LANGUAGE, "test", "72,821", "-", "top-1", _TOKENS, 28.5, 32.0, "eval/msrvtt_qa.gin"),
    Row("MSVD-QA", _LANGUAGE, "test", "13,157", "-", "top-1", _TOKENS, 39.5, 47.1, "eval/msvd_qa.gin"),
    Row("NExT-QA open-ended", _LANGUAGE, "test", "9,178", "-", "WUPS",
        _TOKENS, 23.8, 27.4, "eval/nextqa_open.gin"),
    Row("Fly vs Fly", _SCIENCE, "test", "?", "7", "mAP", _FRAMES, 89.1, 92.0, "eval/fly_vs_fly.gin"),
    Row("CalMS21", _SCIENCE, "test", "262,107", "4", "mAP", _FRAMES, 91.1, 91.5, "eval/calms21.gin"),
    Row("CRIM13 side", _SCIENCE, "test", "?", "13", "mAP", _FRAMES, 64.5, 65.9, "eval/crim13_side.gin"),
    Row("CRIM13 top", _SCIENCE, "test", "?", "13", "mAP", _FRAMES, 64.9, 66.8, "eval/crim13_top.gin"),
    Row("KABR", _SCIENCE, "val", "?", "8", "macro accuracy",
        "stride 5, 1x3, attention", 61.6, 63.3, "eval/kabr.gin"),
    Row("ChimpACT", _SCIENCE, "test", "?", "23", "mAP, IoU .5", _TOKENS, 28.8, 31.5, "eval/chimpact.gin"),
)  # fmt: skip
# The language rows of the paper name the language model instead of a larger encoder: B with PaLM-2 1B and 8B.
LANGUAGE_NOTE = "captioning and QA: base is B with PaLM-2-1B, giant is B with PaLM-2-8B"
# Of all gin files; 8 digits that identify a protocol are printed beside each score.
PROTOCOL_NOTE = "protocol: 16 frames of 288 px; views along time x crops; pooling"
