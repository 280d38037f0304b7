"""Recognised speech beside videos, cut into clips at the ends of sentences.

Source: VideoPrism, appendix A (ASR corpora cut at sentence boundaries) and figure 5 (lengths of clips).
"""

import dataclasses
import itertools
import posixpath
from collections.abc import Iterator, Sequence

from prismlab.core import errors
from prismlab.core.io import urls
from prismlab.data.corpus.inputs import file_kinds, media, subtitles

_MOST_BYTES = 64 << 20
ENDINGS = (".vtt", ".srt", ".json")


@dataclasses.dataclass(frozen=True)
class Transcripts:
    """A folder in which `a.mp4` lies beside `a.vtt`, `a.srt` or `a.json` (or `a.en.vtt`).

    A clip takes whole sentences until it has `enough` seconds, and never more than `longest`; a sentence
    longer than that is cut between words. What remains below `shortest` is left out. A sentence ends with a
    full stop, a question or exclamation mark, or where nobody speaks for `pause` seconds. By default most
    clips have 5 to 10 seconds, as most of the paper's (63%). A video without a transcript is a rejected clip.

    Args:
        root: folder or URL.
        shortest: seconds of the shortest clip.
        enough: seconds from which a clip ends at the next end of a sentence.
        longest: seconds of the longest clip.
        pause: seconds of silence that end a sentence, for transcripts without full stops.
        videos_per_shard: videos whose clips become one shard.
    """

    root: str
    shortest: float = 3.0
    enough: float = 5.0
    longest: float = 20.0
    pause: float = 1.0
    videos_per_shard: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.shortest <= self.enough <= self.longest or self.pause <= 0:
            raise errors.UserError(
                "Transcripts wants 0 < shortest <= enough <= longest and pause > 0, got "
                f"{self.shortest}, {self.enough}, {self.longest} and {self.pause}"
            )
        if self.videos_per_shard < 1:
            raise errors.UserError(
                f"Transcripts.videos_per_shard wants 1 or more, got {self.videos_per_shard}"
            )

    def units(self) -> Iterator[media.Unit]:
        """Yield groups of (video, transcript).

        Raises:
            UserError: no such folder, or no video beside a transcript in it.
        """
        return media.grouped(self._pairs(), self.videos_per_shard)

    def _pairs(self) -> Iterator[tuple[str, str]]:
        found = False
        # Sorted names: those that agree up to the first dot of their last part stand together.
        for _, group in itertools.groupby(urls.listing(self.root), _until_dot):
            names = list(group)
            texts = [name for name in names if file_kinds.suffix(name) in ENDINGS]
            for video in (name for name in names if file_kinds.suffix(name) in file_kinds.VIDEOS):
                stem = posixpath.splitext(video)[0] + "."
                text = next((name for name in texts if name.startswith(stem)), "")
                found |= bool(text)
                yield video, text
        if not found:
            raise media.Stop(
                f"{self.root}: wanted videos with transcripts beside them ({', '.join(ENDINGS)}, of the same "
                "name), found none"
            )

    def read(self, unit: media.Unit) -> Iterator[media.Medium]:
        """Yield each video with the clips of its transcript."""
        for video, transcript in unit.entries:
            path = urls.join(self.root, video)
            try:
                if not transcript:
                    raise errors.UserError(
                        f"wanted a transcript beside the video, one of {', '.join(ENDINGS)}"
                    )
                data = urls.read(urls.join(self.root, transcript), _MOST_BYTES)
                spans = self.spans(subtitles.read(data, transcript))
                cuts = [
                    media.Cut(f"{video}#{number}", text, start, end)
                    for number, (start, end, text) in enumerate(spans)
                ]
            except errors.UserError as fault:
                cuts = [media.Cut(f"{video}#all", "", fault=str(fault))]
            yield file_kinds.medium(path, video, tuple(cuts))

    def spans(self, words: Sequence[subtitles.Word]) -> list[tuple[float, float, str]]:
        """Return (start, end, text) of each clip.

        Args:
            words: what was said, in order.

        Returns:
            Clips in order, of shortest to longest seconds, no two of which overlap.
        """
        found, clip = [], list[subtitles.Word]()
        for sentence in self._sentences(words):
            if clip and (
                sentence[-1].end - clip[0].start > self.longest
                or sentence[0].start - clip[-1].end >= self.pause
            ):
                found.append(clip)
                clip = []
            clip = [*clip, *sentence]
            if clip[-1].end - clip[0].start >= self.enough:
                found.append(clip)
                clip = []
        found.append(clip)
        return [
            (clip[0].start, clip[-1].end, " ".join(word.text for word in clip))
            for clip in found
            if clip and self.shortest <= clip[-1].end - clip[0].start <= self.longest
        ]

    def _sentences(self, words: Sequence[subtitles.Word]) -> Iterator[list[subtitles.Word]]:
        sentence: list[subtitles.Word] = []
        for word in words:
            apart = sentence and (
                word.start - sentence[-1].end >= self.pause or word.end - sentence[0].start > self.longest
            )
            if apart:
                yield sentence
                sentence = []
            sentence.append(word)
            if word.text.rstrip("\"')]»”’").endswith((".", "?", "!", "…", "。", "？", "！")):
                yield sentence
                sentence = []
        if sentence:
            yield sentence


def _until_dot(name: str) -> str:
    folder, base = posixpath.split(name)
    return posixpath.join(folder, base.split(".")[0])
