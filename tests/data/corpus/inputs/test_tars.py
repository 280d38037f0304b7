"""Samples of WebDataset tars; hostile and damaged tars stop the run with one line."""

import io
import pathlib
import tarfile

import pytest

from prismlab.data.corpus.inputs import media, tars


def tar(path: pathlib.Path, members: dict[str, bytes], *more: tarfile.TarInfo, mode: str = "w") -> tars.Tars:
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        for info in more:
            file.addfile(info, io.BytesIO(b"x" * info.size))
    return tars.Tars(str(path.parent / "*.tar*"), max_member_bytes=1000)


def read(home: tars.Tars) -> list[media.Medium]:
    return [medium for unit in home.units() for medium in home.read(unit)]


@pytest.mark.parametrize("ending", ["", ":gz"])
def test_samples(tmp_path, ending) -> None:
    home = tar(
        tmp_path / "b.tar",
        {
            "x/1.mp4": b"video", "x/1.txt": "naïve\n".encode(), "x/1.json": b'{"who": "me", "text": "other"}',
            "./2.jpg": b"image", "./2.json": b'{"caption": "from json", "n": 1}',
        },
        mode="w" + ending,
    )  # fmt: skip
    tar(tmp_path / "a.tar", {"0.mp4": b"first", "0.txt": b"zero"})
    zero, one, two = read(home)
    assert [each.kind for each in (zero, one, two)] == ["video", "video", "image"]
    assert (one.cuts[0].key, one.cuts[0].caption, one.cuts[0].labels) == ("b.tar:x/1", "naïve", {"who": "me"})
    assert (two.cuts[0].caption, two.cuts[0].labels, two.read()) == ("from json", {"n": 1}, [b"image"])
    assert zero.read() == [b"first"]
    assert one.read() == [b"video"]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"1.txt": b"words"}, "expected one video or image, got the files .txt"),
        ({"1.mp4": b"v", "1.jpg": b"i", "1.txt": b"words"}, "expected one video or image"),
        ({"1.mp4": b"v", "1.json": b"["}, "expected a caption in UTF-8 and JSON"),
        ({"1.mp4": b"v", "1.txt": b"\xff"}, "expected a caption in UTF-8"),
    ],
)
def test_a_bad_sample_is_a_fault_of_its_clip(tmp_path, members, told) -> None:
    (medium,) = read(tar(tmp_path / "a.tar", members))
    assert told in medium.cuts[0].fault


def _info(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


@pytest.mark.parametrize(
    ("member", "told"),
    [
        (_info("1.mp4", tarfile.SYMTYPE, link="/etc/passwd"), "a link, a device"),
        (_info("1.mp4", tarfile.LNKTYPE, link="0.mp4"), "a link, a device"),
        (_info("1.mp4", tarfile.FIFOTYPE), "a link, a device"),
        (_info("/etc/1.mp4"), "an absolute name or one with '..': '/etc/1.mp4'"),
        (_info("../1.mp4"), "an absolute name or one with "),
        (_info("1.mp4", size=1001), "1001 bytes .Tars.max_member_bytes is 1000"),
        (_info("0.mp4"), "'0.mp4' twice"),
    ],
)
def test_hostile_members_stop_the_run(tmp_path, member, told) -> None:
    with pytest.raises(media.Stop, match=told) as caught:
        read(tar(tmp_path / "a.tar", {"0.mp4": b"v", "0.txt": b"words"}, member))
    assert str(tmp_path / "a.tar") in str(caught.value)


def test_damaged_tars(tmp_path) -> None:
    home = tar(tmp_path / "a.tar", {"0.mp4": b"v" * 900, "0.txt": b"words"})
    whole = (tmp_path / "a.tar").read_bytes()
    for damaged in (whole[:700], b"", b"no tar at all" * 100):
        (tmp_path / "a.tar").write_bytes(damaged)
        with pytest.raises(media.Stop, match="expected a valid tar"):
            read(home)
    with pytest.raises(media.Stop, match="found no such file"):
        list(tars.Tars(str(tmp_path / "*.none")).units())
