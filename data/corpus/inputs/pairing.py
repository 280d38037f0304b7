"""Choose the transcript of each video of a folder by their names."""

import posixpath
import re
from collections.abc import Iterator, Sequence

from prismlab.data.corpus.inputs import file_kinds

# Preferred first, if one name exists with several.
ENDINGS = (".srt", ".vtt", ".json")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_][a-z0-9]{1,8})*")
# Files that yt-dlp writes beside a video: about it, or said by others.
_OTHERS = ("info", "live_chat", "comments", "rechat", "chapters")


def pairs(names: Sequence[str], language: str | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each video of a folder with its transcript, or with all that are equally likely.

    A transcript belongs to the video with the longest name that it continues: `talk.part2.vtt` to
    `talk.part2.mp4`, not to `talk.mp4`. Of a video's transcripts, the one in the language comes first, then
    the one of exactly its name, then those with another addition (`talk.en.vtt`).

    Args:
        names: file names of one folder.
        language: language of the transcripts, such as "en", which also stands for "en-US"; None for any.
    """
    videos = [name for name in names if file_kinds.suffix(name) in file_kinds.VIDEOS]
    stems = {posixpath.splitext(video)[0] for video in videos}
    texts: dict[str, list[tuple[str, str]]] = {stem: [] for stem in stems}
    for name in names:
        if file_kinds.suffix(name) in ENDINGS:
            whole = posixpath.splitext(name)[0]
            owner = whole
            while owner not in stems and "." in posixpath.basename(owner):
                owner = owner.rpartition(".")[0]
            addition = whole.removeprefix(owner).lstrip(".").lower()
            if owner in stems and addition.split(".")[0] not in _OTHERS:
                texts[owner].append((addition, name))
    for video in videos:
        yield video, _best(texts[posixpath.splitext(video)[0]], language)


def _best(found: list[tuple[str, str]], language: str | None) -> tuple[str, ...]:
    """Return the most likely transcripts: none, one, or several that differ in their addition."""
    ranks: dict[int, dict[str, list[str]]] = {}
    for addition, name in found:
        tag = addition.split(".")[0]
        spoken = tag if _LANGUAGE.fullmatch(tag) else None
        if language is not None and spoken is not None:
            if not _same(spoken, language):
                continue
            rank = 0 if spoken == language.lower() else 1
        else:
            rank = 2 if not addition else 3 if spoken else 4
        ranks.setdefault(rank, {}).setdefault(addition, []).append(name)
    best = ranks[min(ranks)] if ranks else {}
    return tuple(min(each, key=lambda name: ENDINGS.index(file_kinds.suffix(name))) for each in best.values())


def _same(spoken: str, language: str) -> bool:
    parts = [re.split("[-_]", each.lower()) for each in (spoken, language)]
    return parts[0][: len(parts[1])] == parts[1]
