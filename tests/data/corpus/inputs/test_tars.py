"""Samples of WebDataset tars; hostile and damaged tars stop the run with one line."""

import io
import pathlib
import tarfile

import pytest

from prismlab.data.corpus.inputs import media, tar_members, tars


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
    found = [medium for unit in home.units() for medium in home.read(unit)]
    return [each for each in found if isinstance(each, media.Medium)]


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


@pytest.mark.parametrize("compression", ["", ":gz", ":bz2", ":xz"])
def test_tars_sorted_by_ending(tmp_path, compression) -> None:
    members = {f"{n}{e}": f"{n}{e}".encode() for e in (".json", ".mp4", ".txt") for n in range(3)}
    members |= {f"{n}.json": b'{"n": %d}' % n for n in range(3)}
    found = read(tar(tmp_path / "a.tar", members, mode="w" + compression))
    assert [(each.cuts[0].caption, each.read(), each.cuts[0].labels) for each in found] == [
        (f"{n}.txt", [f"{n}.mp4".encode()], {"n": n}) for n in range(3)
    ]


def test_hidden_and_unused_members_are_passed_over_and_counted(tmp_path) -> None:
    home = tar(
        tmp_path / "a.tar",
        {
            "._x": b"m", "./._0.mp4": b"m", "0.mp4": b"v", "._0.txt": b"m", "0.txt": b"words",
            "d/._1.mp4": b"m", "d/1.mp4": b"v", "d/1.txt": b"more", ".DS_Store": b"m", "__MACOSX/0.mp4": b"m",
            "0.depth.npz": b"n",
        },
    )  # fmt: skip
    assert [(each.cuts[0].key, each.cuts[0].caption) for each in read(home)] == [
        ("a.tar:0", "words"),
        ("a.tar:d/1", "more"),
    ]
    found = [each for unit in home.units() for each in home.read(unit) if isinstance(each, media.PassedOver)]
    assert sorted(each.why for each in found) == [
        ".npz files",
        *["hidden files (such as macOS's ._ files)"] * 6,
    ]


@pytest.mark.parametrize("pattern", ["*/a.tar", "*/*.tar", "[12]/a.tar"])
def test_tars_of_one_name_have_their_own_keys(tmp_path, pattern) -> None:
    for folder in ("1", "2"):
        (tmp_path / folder).mkdir()
        tar(tmp_path / folder / "a.tar", {"0.mp4": b"v", "0.txt": b"words"})
    keys = [each.cuts[0].key for each in read(tars.Tars(str(tmp_path / pattern)))]
    assert keys == ["1/a.tar:0", "2/a.tar:0"]


def packed(name: str, kind: bytes, data: bytes, size: int | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + data + b"\0" * (-len(data) % 512)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [8 << 30, 2 << 20])
def test_a_header_of_any_size_is_not_read(tmp_path, kind, size) -> None:
    (tmp_path / "a.tar").write_bytes(
        packed("x", kind, b"a" * 512, size) + packed("0.mp4", tarfile.REGTYPE, b"v")
    )
    with pytest.raises(media.Stop, match=f"expected a valid tar, got 'a header of {size} bytes"):
        read(tars.Tars(str(tmp_path / "*.tar")))


def test_members_that_nobody_uses_are_not_read(tmp_path, monkeypatch) -> None:
    """A sample of many large files asks for no more than its one video."""
    members = {"0.mp4": b"v" * 900, "0.txt": b"words", **{f"0.{n}.npz": b"\0" * 900 for n in range(20)}}
    many = {f"1.{n}.jpg": b"\0" * 900 for n in range(20)} | {"1.jpg": b"i", "1.png": b"i", "1.txt": b"words"}
    home = tar(tmp_path / "a.tar", members | many, mode="w:gz")
    seen: list[str] = []
    own = tar_members.Tar.read
    monkeypatch.setattr(
        tar_members.Tar, "read", lambda tar, member: seen.append(member.name) or own(tar, member)
    )
    sound, bad = read(home)
    assert seen == ["0.mp4", "0.txt"]
    assert (sound.read(), bad.cuts[0].caption) == ([b"v" * 900], "")
    assert "expected one video or image, got the files" in bad.cuts[0].fault


def test_text_members_are_bounded(tmp_path) -> None:
    members = {"0.mp4": b"v", "0.txt": b"w" * ((1 << 20) + 1)}
    (medium,) = read(tars.Tars(tar(tmp_path / "a.tar", members).pattern))
    assert "expected '0.txt' of at most 1048576 bytes, got 1048577" in medium.cuts[0].fault


def test_headers_are_not_kept(tmp_path) -> None:
    """Global headers with ever new names would fill the memory."""
    pax = lambda n: b"%d k%d=%s\n" % (len(b" k%d=%s\n" % (n, b"v")) + 2, n, b"v")
    parts = [packed("g", tarfile.XGLTYPE, pax(n)) for n in range(10, 1200)]
    parts = [part + packed(f"{n}.txt", tarfile.REGTYPE, b"w") for n, part in enumerate(parts)]
    (tmp_path / "a.tar").write_bytes(b"".join(parts) + packed("0.mp4", tarfile.REGTYPE, b"v") + b"\0" * 1024)
    with pytest.raises(
        media.Stop, match=r"expected a valid tar, got '(a wrong header|maximum recursion|invalid header)"
    ):
        read(tars.Tars(str(tmp_path / "*.tar")))


@pytest.mark.parametrize("compression", [":gz", ":bz2", ":xz"])
def test_damaged_compressed_tars(tmp_path, compression) -> None:
    home = tar(
        tmp_path / "a.tar", {f"{n}.mp4": bytes(range(250)) * 3 for n in range(9)}, mode="w" + compression
    )
    whole = (tmp_path / "a.tar").read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:middle] + b"damage!" + whole[middle + 7 :]):
        (tmp_path / "a.tar").write_bytes(damaged)
        with pytest.raises(media.Stop, match="expected a valid tar"):
            read(home)
