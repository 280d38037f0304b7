"""Dataset card of a corpus in Markdown, generated from the manifest."""

from typing import Any

import av
import PIL

from prismlab.data.corpus import corpus_statistics

NAME = "card.md"
_TITLES = {
    "seconds": "seconds per clip",
    "words": "words per caption",
    "short_side": "shorter side of a frame in pixels",
}


def text(manifest: dict[str, Any], about: str, spec: str) -> str:
    """Return the card as Markdown.

    Args:
        manifest: manifest of the finished shards, with statistics.
        about: origin and license of the data.
        spec: gin spec that the corpus was prepared from.
    """
    tally = manifest["statistics"]
    clips, bad = tally["clips"], tally["rejected"]
    videos = clips - tally["images"]
    lines = [
        "# Card of this corpus",
        "",
        about or "Origin and license: not given (`prepare_corpus.Corpus.about`).",
        "",
        f"- {clips} clips ({videos} videos, {tally['images']} images) in {len(manifest['shards'])} shards, "
        f"{tally['video_bytes'] / 1e6:.1f} MB of video, {tally['seconds'] / 3600:.2f} hours",
        f"- {bad} clips were rejected ({bad / max(1, clips + bad):.2%}); each is listed in "
        "`rejected.jsonl` with the reason",
        f"- mean length {tally['seconds'] / max(1, videos):.2f} s, "
        f"mean caption {tally['words'] / max(1, clips):.1f} words",
        f"- {tally['variable_rate']} videos had a variable frame rate, {tally['still']} show no movement",
        "",
    ]
    for line in corpus_statistics.lines(tally["passed_over"]):
        lines.append(f"- passed over: {line}")
    if tally["passed_over"]:
        lines.append("")
    for name, title in _TITLES.items():
        counts = tally["histograms"][name]
        whole = max(1, sum(counts))
        lines += [f"| {title} | clips | fraction |", "|---|---|---|"]
        lines += [
            f"| {interval} | {count} | {count / whole:.1%} |"
            for interval, count in zip(corpus_statistics.intervals(name), counts)
        ]
        lines.append("")
    lines += [
        f"Records have schema version {manifest['schema_version']}; `manifest.json` lists their sha256.",
        f"Encoded by av {av.__version__} and pillow {PIL.__version__}; other versions may give other bytes.",
        "Not measured: nouns and verbs, people, optical flow, grounding (table 8 of the paper).",
        "",
    ]
    if spec:
        lines += ["Spec:", "", "```gin", spec.strip(), "```", ""]
    return "\n".join(lines)
