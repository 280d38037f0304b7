"""Finish corpus preparation: merge the sheets of all shards into rejected.jsonl, card.md and the manifest."""

import dataclasses
import json

import av
import PIL

from prismlab.core.io import file_names, filesystem
from prismlab.data.corpus import corpus_statistics, unit_sheet
from prismlab.data.records import manifest, record

REJECTED = "rejected.jsonl"
CARD = "card.md"
_TITLES = {
    "seconds": "seconds per clip",
    "words": "words per caption",
    "short_side": "shorter side of a frame in pixels",
}


def complete(out: str, total: int) -> bool:
    """Return True if every unit has a sheet."""
    return all(
        filesystem.file_type(file_names.join(out, unit_sheet.name(number))) == "file"
        for number in range(total)
    )


def write(
    out: str,
    sheets: list[unit_sheet.Sheet],
    statistics: corpus_statistics.Statistics,
    about: str,
    text: str,
) -> manifest.Manifest:
    """Write rejected.jsonl, card.md and, last, the manifest.

    Args:
        out: output folder or URL.
        sheets: sheets of all units, in order.
        statistics: of all units and of what is passed over beside them.
        about: origin and license of the data.
        text: gin spec of the corpus.

    Returns:
        The manifest.
    """
    rejected = [
        json.dumps(dataclasses.asdict(each), ensure_ascii=False) + "\n"
        for sheet in sheets
        for each in sheet.rejected
    ]
    filesystem.write_atomic(file_names.join(out, REJECTED), "".join(rejected).encode())
    found = manifest.Manifest(
        schema_version=record.SCHEMA_VERSION,
        finished=True,
        records=statistics.clips,
        shards=tuple(sheet.shard for sheet in sheets if sheet.shard is not None),
        source=about,
        statistics=statistics.plain(),
    )
    card = _card(statistics, len(found.shards), about, text)
    filesystem.write_atomic(file_names.join(out, CARD), card.encode())
    filesystem.write_atomic(file_names.join(out, manifest.NAME), found.encoded())
    return found


def _card(tally: corpus_statistics.Statistics, shards: int, about: str, spec: str) -> str:
    """Return the dataset card as Markdown."""
    videos = tally.clips - tally.images
    lines = [
        "# Card of this corpus",
        "",
        about or "Origin and license: not given (`prepare_corpus.Corpus.about`).",
        "",
        f"- {tally.clips} clips ({videos} videos, {tally.images} images) in {shards} shards, "
        f"{tally.video_bytes / 1e6:.1f} MB of video, {tally.seconds / 3600:.2f} hours",
        f"- {tally.rejected} clips were rejected "
        f"({tally.rejected / max(1, tally.clips + tally.rejected):.2%}); each is listed in "
        "`rejected.jsonl` with the reason",
        f"- mean length {tally.seconds / max(1, videos):.2f} s, "
        f"mean caption {tally.words / max(1, tally.clips):.1f} words",
        f"- {tally.variable_rate} videos had a variable frame rate, {tally.still} show no movement",
        *(f"- passed over: {line}" for line in corpus_statistics.lines(tally.plain()["passed_over"])),
        "",
    ]
    for name, title in _TITLES.items():
        counts = tally.histograms[name]
        whole = max(1, sum(counts))
        lines += [f"| {title} | clips | fraction |", "|---|---|---|"]
        lines += [
            f"| {interval} | {count} | {count / whole:.1%} |"
            for interval, count in zip(corpus_statistics.intervals(name), counts)
        ]
        lines.append("")
    lines += [
        f"Records have schema version {record.SCHEMA_VERSION}; `manifest.json` lists their sha256.",
        f"Encoded by av {av.__version__} and pillow {PIL.__version__}; other versions may give other bytes.",
        "Not measured: nouns and verbs, people, optical flow, grounding (table 8 of the paper).",
        "",
    ]
    if spec:
        lines += ["Spec:", "", "```gin", spec.strip(), "```", ""]
    return "\n".join(lines)
