"""Reader of videos with speech transcripts (ASR), cut into clips at sentence boundaries.

Source: VideoPrism, appendix A (ASR corpora cut at sentence boundaries) and figure 5 (clip durations).
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
    """Folder of videos with transcripts: `a.mp4` next to `a.vtt`, `a.srt` or `a.json` (or `a.en.vtt`).

    A clip consists of whole sentences until it has `enough` seconds, and at most `longest` seconds; longer
    sentences are split between words. Clips below `shortest` are dropped. A sentence ends at a full stop,
    question mark, exclamation mark, or a silence of `pause` seconds. With the defaults most clips have 5 to
    10 seconds, as in the paper (63%). A video without a transcript is logged as a rejected clip.

    Args:
        root: folder or URL.
        shortest: minimum clip duration in seconds.
        enough: clip duration in seconds after which a clip ends at the next sentence boundary.
        longest: maximum clip duration in seconds.
        pause: silence in seconds that ends a sentence, for transcripts without punctuation.
        videos_per_shard: videos per shard.
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
                "expected Transcripts with 0 < shortest <= enough <= longest and pause > 0, got "
                f"{self.shortest}, {self.enough}, {self.longest} and {self.pause}"
            )
        if self.videos_per_shard < 1:
            raise errors.UserError(
                f"expected Transcripts.videos_per_shard of 1 or more, got {self.videos_per_shard}"
            )

    def units(self) -> Iterator[media.Unit]:
        """Yield groups of (video, transcript).

        Raises:
            UserError: the folder does not exist or has no video with a transcript.
        """
        return media.grouped(self._pairs(), self.videos_per_shard)

    def _pairs(self) -> Iterator[tuple[str, str]]:
        found = False
        # Names are sorted, so files with the same base name up to the first dot are adjacent.
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
                f"{self.root}: expected videos with transcripts next to them ({', '.join(ENDINGS)}, of the "
                "same name), found none"
            )

    def read(self, unit: media.Unit) -> Iterator[media.Medium]:
        """Yield each video with the clips of its transcript."""
        for video, transcript in unit.entries:
            path = urls.join(self.root, video)
            try:
                if not transcript:
                    raise errors.UserError(
                        f"expected a transcript next to the video, one of {', '.join(ENDINGS)}"
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
            words: the words of the transcript, in order.

        Returns:
            Clips in order, without overlap, of `shortest` to `longest` seconds.
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
