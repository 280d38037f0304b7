"""Reader of videos with speech transcripts (ASR), cut into clips at sentence boundaries.

Source: VideoPrism, appendix A (ASR corpora cut at sentence boundaries) and figure 5 (clip durations).
"""

import dataclasses
import functools
import posixpath
from collections.abc import Iterator, Sequence

from prismlab.core import errors
from prismlab.core.io import file_names, filesystem, user_paths
from prismlab.data.corpus.inputs import file_kinds, media, pairing, subtitles

_MOST_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True)
class Transcripts:
    """Folder of videos with transcripts: `a.mp4` next to `a.vtt`, `a.srt` or `a.json` (or `a.en.vtt`).

    A clip consists of whole sentences until it has `enough` seconds, and at most `longest` seconds; longer
    sentences are split between words. Clips below `shortest` are dropped. A sentence ends at a full stop,
    question mark, exclamation mark, or a silence of `pause` seconds. What is said at the same time stays in
    one clip. With the defaults most clips have 5 to 10 seconds, as in the paper (63%). A video without a
    transcript, or with several and no `language` to choose by, is logged as a rejected clip.

    Args:
        root: folder or URL.
        shortest: minimum clip duration in seconds.
        enough: clip duration in seconds after which a clip ends at the next sentence boundary.
        longest: maximum clip duration in seconds.
        pause: silence in seconds that ends a sentence, for transcripts without punctuation.
        max_bad_cues: maximum fraction of a transcript's cues and words that are wrong (without text or times,
            end before start); they are left out and counted. Above it the video is a rejected clip.
        videos_per_shard: videos per shard.
        language: language of the transcripts, the "en" of `a.en.vtt`; None if there is one for each video.
    """

    root: str
    shortest: float = 3.0
    enough: float = 5.0
    longest: float = 20.0
    pause: float = 1.0
    max_bad_cues: float = 0.5
    videos_per_shard: int = 100
    language: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.shortest <= self.enough <= self.longest or self.pause <= 0:
            raise errors.UserError(
                "expected Transcripts with 0 < shortest <= enough <= longest and pause > 0, got "
                f"{self.shortest}, {self.enough}, {self.longest} and {self.pause}"
            )
        if not 0 <= self.max_bad_cues < 1:
            raise errors.UserError(f"expected Transcripts.max_bad_cues in [0, 1), got {self.max_bad_cues}")
        if self.videos_per_shard < 1:
            raise errors.UserError(
                f"expected Transcripts.videos_per_shard of 1 or more, got {self.videos_per_shard}"
            )

    @property
    def _root(self) -> str:
        return user_paths.expand(self.root)

    def units(self) -> Iterator[media.Unit]:
        """Yield groups of (video, transcript).

        Raises:
            UserError: the folder does not exist or has no video with a transcript.
        """
        return media.grouped(self._pairs(), self.videos_per_shard)

    def _pairs(self) -> Iterator[tuple[str, str | tuple[str, ...]]]:
        found = False
        for folder, names in file_names.walk(self._root):
            for video, texts in pairing.pairs(names, self.language):
                found |= bool(texts)
                texts = tuple(posixpath.join(folder, text) for text in texts)
                yield posixpath.join(folder, video), texts if len(texts) > 1 else "".join(texts)
        if not found:
            raise media.Stop(
                f"{self._root}: expected videos with transcripts next to them ({', '.join(pairing.ENDINGS)}, "
                "of the same name), found none"
            )

    def passed_over(self) -> Iterator[media.PassedOver]:
        """Yield the files that are neither videos nor their transcripts."""
        for folder, names in file_names.walk(self._root):
            used = {name for pair in pairing.pairs(names, self.language) for name in (pair[0], *pair[1])}
            yield from media.by_ending(file_names.join(folder, name) for name in names if name not in used)

    def read(self, unit: media.Unit) -> Iterator[media.Medium | media.PassedOver]:
        """Yield each video with the clips of its transcript, and the cues that are left out."""
        left: list[str] = []
        make = functools.partial(self._medium, left)
        for medium in media.isolated(unit.entries, lambda entry: [f"{entry[0]}#all"], make):
            yield medium
            yield from (media.PassedOver("wrong cues", name) for name in left)
            left.clear()

    def _medium(self, left: list[str], entry: tuple[str, str | tuple[str, ...]]) -> media.Medium:
        video, transcript = entry
        try:
            cuts = self._cuts(video, transcript, left)
        except media.WRONG as error:
            cuts = [media.Cut(f"{video}#all", "", fault=media.reason(error))]
        return file_kinds.medium(self._root, video, tuple(cuts))

    def _cuts(self, video: str, transcript: str | tuple[str, ...], left: list[str]) -> list[media.Cut]:
        if not isinstance(transcript, str):
            raise errors.UserError(
                f"expected one transcript next to the video, found {', '.join(transcript)}; set "
                "Transcripts.language, or move the others away"
            )
        if not transcript:
            raise errors.UserError(
                f"expected a transcript next to the video, one of {', '.join(pairing.ENDINGS)}"
                + (f", in {self.language!r} (Transcripts.language)" if self.language else "")
            )
        data = filesystem.read(file_names.inside(self._root, transcript, self._root), _MOST_BYTES)
        found = subtitles.read(data, file_names.readable(transcript), self.max_bad_cues)
        left += [f"{transcript}: {fault}" for fault in found.faults]
        return [
            media.Cut(f"{video}#{number}", text, start, end)
            for number, (start, end, text) in enumerate(self.spans(found.words))
        ]

    def spans(self, words: Sequence[subtitles.Word]) -> list[tuple[float, float, str]]:
        """Return (start, end, text) of each clip.

        Args:
            words: the words of the transcript, in order; where cues overlap, times go back.

        Returns:
            Clips in order, without overlap, of `shortest` to `longest` seconds.
        """
        found: list[tuple[float, float, str]] = []
        said: list[str] = []
        start = end = 0.0
        for sentence in self._sentences(words):
            first = min(word.start for word in sentence)
            last = max(word.end for word in sentence)
            # No clip ends while something is being said, unless it would be too long.
            enough = end - start >= self.enough and first >= end
            if said and (enough or max(last, end) - start > self.longest or first - end >= self.pause):
                found.append((start, end, " ".join(said)))
                said = []
            if not said:
                start, end = max(first, end), max(last, end)
            said += [word.text for word in sentence]
            end = max(last, end)
        found.append((start, end, " ".join(said)))
        return [each for each in found if self.shortest <= each[1] - each[0] <= self.longest and each[2]]

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
