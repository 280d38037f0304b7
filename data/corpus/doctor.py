"""Check a corpus before training: unreadable files, caption problems, duplicates and decoding speed."""

import collections
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.data.corpus import clip_report, corpus_statistics, prepare_corpus
from prismlab.data.corpus.inputs import media
from prismlab.data.records import record, shards
from prismlab.data.video.containers import container
from prismlab.data.video.presentation import clock, geometry

_LIMITS = container.Limits(seconds=60.0)
_EXAMPLES = 5
CAPTION_FAULTS: dict[str, Any] = {
    "empty": lambda text: not text.strip(),
    "fewer than 3 words": lambda text: 0 < len(text.split()) < 3,
    "more than 64 words": lambda text: len(text.split()) > 64,
    "wrongly decoded (such as Ã© for é)": lambda text: re.search(r"Ã[\x80-\xbf©¨¼]|â€|�", text) is not None,
    "a web address": lambda text: re.search(r"https?://|www\.", text) is not None,
    "markup": lambda text: re.search(r"<[a-zA-Z/][^>]*>|&[a-z]+;", text) is not None,
    "capitals only": lambda text: len(text) > 8 and text.isupper(),
    "a word three times in a row": lambda text: re.search(r"\b(\w+)( \1\b){2}", text.lower()) is not None,
    "control characters": lambda text: re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text) is not None,
}


Seen = tuple[str, record.Record | errors.UserError, tuple[str, ...]]


def records_of(home: str | prepare_corpus.Corpus, sample: int) -> Iterator[Seen]:
    """Yield (key, record or error, captions) of clips sampled evenly from shards or raw files.

    Args:
        home: folder or URL of finished shards, or the spec of an unprepared corpus (one record per file).
        sample: number of clips; 0 for all.
    """
    if isinstance(home, str):
        reader = shards.ShardReader(home, None)
        count = len(reader) if not sample else min(sample, len(reader))
        for index in np.linspace(0, len(reader) - 1, count).astype(int):
            try:
                example = reader[int(index)]
            except errors.UserError as fault:
                yield f"record {index}", fault, ()
            else:
                yield example.key, example, () if example.caption is None else (example.caption,)
        return
    total = sum(1 for _ in home.source.units())
    each = math.ceil(sample / max(1, total)) if sample else 0
    for unit in home.source.units():
        found = (each for each in home.source.read(unit) if isinstance(each, media.Medium))
        for number, medium in enumerate(found):
            if each and number >= each:
                break
            captions = tuple(cut.caption for cut in medium.cuts if cut.caption is not None)
            faults = [cut.fault for cut in medium.cuts]
            try:
                if faults and all(faults):
                    raise errors.UserError(faults[0])
                yield medium.name, _record(medium), captions
            except media.WRONG as error:
                if isinstance(error, media.Stop):
                    raise
                yield medium.name, errors.UserError(media.reason(error)), captions


def passed_over(homes: Mapping[str, str | prepare_corpus.Corpus]) -> dict[str, Any]:
    """Return what the inputs of raw files pass over: kind -> number of files and an example.

    Args:
        homes: as in `examine`; shards pass nothing over.
    """
    raw = (home.source for home in homes.values() if not isinstance(home, str))
    items = itertools.chain.from_iterable(source.passed_over() for source in raw)
    return corpus_statistics.of_passed_over(items).plain()["passed_over"]


def _record(medium: media.Medium) -> record.Record:
    if medium.read is None:
        return record.Record(medium.name, filesystem.read(medium.path, _LIMITS.max_bytes), "unread")
    data = medium.read()
    if medium.kind == "frames":
        return record.of_frames(medium.name, data, "unread", fps=medium.fps)
    return record.Record(medium.name, data[0], "unread", kind=medium.kind)


def examine(
    homes: dict[str, str | prepare_corpus.Corpus], sample: int, *, sampled: int = 8, resolution: int = 288
) -> list[clip_report.Finding]:
    """Check the clips of several corpora and return one finding per clip.

    Args:
        homes: name -> folder or URL of shards, or corpus spec.
        sample: clips per corpus; 0 for all.
        sampled: frames per example in training.
        resolution: frame height and width in training, in pixels.
    """
    found = []
    for name, home in homes.items():
        for key, example, captions in records_of(home, sample):
            if isinstance(example, errors.UserError):
                found.append(clip_report.Finding(name, key, captions, fault=media.reason(example)))
                continue
            found.append(
                clip_report.probe(
                    name, example, captions, sampled=sampled, resolution=resolution, limits=_LIMITS
                )
            )
    return found


def report(findings: list[clip_report.Finding], need: float | None) -> dict[str, Any]:
    """Summarize the findings as a JSON-serializable dictionary.

    Args:
        findings: findings of all corpora.
        need: clips per second that training consumes, or None.
    """
    sound = [each for each in findings if not each.fault]
    videos = [each for each in sound if each.kind == "video"]
    captions = [(each, text) for each in findings for text in each.captions]
    texts = collections.Counter(text for _, text in captions)
    problems = {
        "cannot be read": [each for each in findings if each.fault],
        "container promises another number of frames": [
            each for each in videos if each.claimed and each.claimed != each.frames
        ],
        "container promises no number of frames": [each for each in videos if not each.claimed],
        "variable frame rate": [each for each in videos if each.variable],
        **{
            trait: [each for each in findings if trait in each.traits]
            for trait in (*geometry.TRAITS, *clock.TRAITS)
        },
        "more than 60 frames between key frames": [each for each in videos if each.key_distance > 60],
        "blank": [each for each in sound if not each.looks],
    }
    cost = sum(each.cost for each in sound)
    rate = len(sound) / cost if cost else 0.0
    return {
        "clips": len(findings),
        "corpora": dict(collections.Counter(each.home for each in findings)),
        "kinds": dict(collections.Counter(each.kind for each in findings)),
        "codecs": dict(collections.Counter(each.codec for each in videos)),
        "key_distance": _spread([each.key_distance for each in videos]),
        "frames": _spread([each.frames for each in sound]),
        "short_side": _spread([min(each.size) for each in sound]),
        "problems": {name: _listed(each) for name, each in problems.items()},
        "captions": {
            **{
                name: _listed([each for each, text in captions if wrong(text)])
                for name, wrong in CAPTION_FAULTS.items()
            },
            "said of several clips": _listed([each for each, text in captions if texts[text] > 1]),
        },
        "duplicates": [
            {"one": f"{a.home}: {a.key}", "other": f"{b.home}: {b.key}", "bits_apart": apart}
            for a, b, apart in clip_report.alike(sound)
        ],
        "roofline": {
            "clips_per_second_per_core": rate,
            "need_clips_per_second": need,
            "workers": math.ceil(need / rate) if need and rate else None,
        },
    }


def _listed(findings: list[clip_report.Finding]) -> dict[str, Any]:
    examples = [f"{each.home}: {each.key}" + (f": {each.fault}" if each.fault else "") for each in findings]
    return {"clips": len(findings), "examples": examples[:_EXAMPLES]}


def _spread(values: list[int]) -> dict[str, float]:
    if not values:
        return {}
    return {"least": int(min(values)), "median": float(np.median(values)), "most": int(max(values))}
