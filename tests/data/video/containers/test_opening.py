"""Only readers of the allow-list run, nothing but the file itself is opened, and opening ends in time."""

import io
import pathlib

import av
import numpy as np
import pytest
from PIL import Image

from prismlab.core import errors
from prismlab.data.corpus import clip_report
from prismlab.data.records import record
from prismlab.data.video import decode, encode, windows
from prismlab.data.video.containers import opening

SAMPLES = pathlib.Path(__file__).parents[1] / "samples"
MP4 = encode.encode(np.full((8, 32, 32, 3), 90, np.uint8), 8)
JPEG = io.BytesIO()
Image.new("RGB", (32, 32)).save(JPEG, "JPEG")
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
OTHERS = {
    "ffconcat": b"ffconcat version 1.0\nfile other.mp4\n",
    "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nother.mp4\n#EXT-X-ENDLIST\n",
    "SDP": SDP.encode(),
    "DASH": b'<?xml version="1.0"?>\n<MPD><BaseURL>other.mp4</BaseURL></MPD>',
    "pls": b"[playlist]\nFile1=other.mp4\n",
    "text": b"file other.mp4\n",
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("as_path", [False, True], ids=["bytes", "path"])
def test_a_file_that_shows_another_is_refused_by_name(
    what: str, as_path: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.mp4").write_bytes(MP4)
    (tmp_path / "film.mp4").write_bytes(OTHERS[what])
    monkeypatch.chdir(tmp_path)
    video = tmp_path / "film.mp4" if as_path else OTHERS[what]
    readers = (decode.decode, decode.count_frames, lambda video: next(windows.read(video, 2, 16)))
    for read in readers:
        with pytest.raises(errors.UserError, match=rf"(film\.mp4|memory): expected a video.*{what}") as told:
            read(video)
        assert "\n" not in str(told.value)


def test_every_consumer_of_a_record_refuses_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret_other.ts").write_bytes(MP4)
    script = (SAMPLES / "concat_in_disguise.mp4").read_bytes()
    with pytest.raises(errors.UserError, match="ffconcat"):
        decode.decode_frames(script, [0], count=8)
    found = clip_report.probe(
        "home", record.Record("clip", script, "words"), (), sampled=2, resolution=16, limits=opening.Limits()
    )
    assert "ffconcat" in found.fault


def test_a_numbered_name_does_not_read_its_siblings(tmp_path: pathlib.Path) -> None:
    for number in range(3):
        (tmp_path / f"a{number:03d}.jpg").write_bytes(JPEG.getvalue())
    with pytest.raises(errors.UserError, match="found none"):
        decode.decode(tmp_path / "a%03d.jpg")
    (tmp_path / "a%03d.jpg").write_bytes(MP4)
    assert decode.count_frames(tmp_path / "a%03d.jpg") == 8


def test_the_list_has_no_reader_that_opens_what_its_content_names() -> None:
    known = set(av.formats_available)
    assert not {"concat", "hls", "dash", "sdp", "rtsp", "rtp", "image2", "lavfi", "imf", "vobsub"} & set(
        opening.FORMATS
    )
    names = {part for each in known for part in each.split(",")}
    assert {"mov", "matroska", "mpegts", "avi"} <= names & set(opening.FORMATS)


@pytest.mark.parametrize("script", ["ffconcat", "m3u8"])
def test_requests_for_other_files_are_refused_even_by_a_listed_reader(
    script: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.mp4").write_bytes(MP4)
    monkeypatch.setattr(opening, "FORMATS", ("concat", "hls", "mov"))
    with pytest.raises(errors.UserError, match="expected a video"):
        decode.decode(OTHERS[script])


def test_opening_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**9))
    monkeypatch.setattr(opening.time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(errors.UserError, match=r"expected opening and decoding within 2 s, got 0 frames"):
        decode.decode(MP4, limits=opening.Limits(seconds=2))


def test_a_file_that_cannot_be_read_is_named() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    guarded = opening.Guarded(Broken(b"x"), opening.Limits(), "film.mp4")
    assert guarded.read(10) == b""
    with pytest.raises(errors.UserError, match=r"film\.mp4: expected a readable file, got .*Input/output"):
        guarded.check(0)


@pytest.mark.parametrize(
    "kind", ["mp4", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg", "asf", "nut", "ivf", "gif"]
)
def test_containers_of_films_open(kind: str) -> None:
    codec = {"mpeg": "mpeg2video", "ogg": "libvpx", "asf": "msmpeg4", "ivf": "libvpx", "gif": "gif"}
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as opened:
        stream = opened.add_stream(codec.get(kind, "libx264"), rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "rgb8" if kind == "gif" else "yuv420p"
        for number in range(10):
            picture = np.full((32, 32, 3), 20 * number, np.uint8)
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        opened.mux(stream.encode(None))
    assert decode.count_frames(buffer.getvalue()) == 10
