"""VATEX: clips of Kinetics-600 with ten English captions each."""

import dataclasses
import pathlib
import re

from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.text import captions

# "VATEX test" names three sets of clips; scores on them do not compare.
VARIANTS = {
    25_991: "training",
    3_000: "validation",
    6_000: "public test",
    1_500: "1,500 clips of validation (HGR)",
}
_ID = re.compile(r".+_\d{6}_\d{6}")


@dataclasses.dataclass(frozen=True)
class Vatex:
    """Clips named ID_START_END as in Kinetics.

    Args:
        videos: folder with the clips.
        train, val, test: vatex_training_v1.0.json, vatex_validation_v1.0.json,
            vatex_public_test_english_v1.1.json, or any file of that kind.
        chosen: list of ids (JSON, or one a line) that chooses a part of the split, such as HGR's; "" for all.
        most_captions: use the first captions of a clip (1 as some papers do); None for all.
    """

    videos: str
    train: str = ""
    val: str = ""
    test: str = ""
    chosen: str = ""
    most_captions: int | None = None

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.train, self.val, self.test, self.chosen), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "train", "val" or "test"; the notes name the set of VATEX by its size."""
        del cache
        name = f"vatex/{split}"
        path = item_sets.file_of(self, split, name)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        rows = annotation_files.json_of(path, list, "the clips of VATEX")
        ids = [row.get("videoID") if isinstance(row, dict) else None for row in rows]
        chosen = captions.listed(self.chosen, found, [each for each in ids if isinstance(each, str)])
        for number, (clip, row) in enumerate(zip(ids, rows), 1):
            where = f"entry {number}"
            if not isinstance(clip, str) or not _ID.fullmatch(clip):
                found.skip("videoID that is none", where)
                continue
            if chosen is not None and clip not in chosen:
                continue
            texts = captions.kept(row.get("enCap", []), found, where)[: self.most_captions]
            if not texts:
                found.skip("clip without an English caption", f"{where}: {clip[:40]}")
                continue
            group = clip[: -len("_000000_000000")]
            found.add(clip_files.item(files, clip, clip, texts=texts, group=group), where)
        count = len(found.items)
        other = f"none of the published sets ({count} clips)"
        notes = {"variant": VARIANTS.get(count, other), **captions.repeated(found.items)}
        return found.finish(notes=notes)
