"""Files of others: headers first, bounded memory, one reason for whatever is wrong."""

import io
import pathlib
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from prismlab.core.io import npz_files


def archive(
    path: pathlib.Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED
) -> pathlib.Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def npy(array: np.ndarray, **more) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **more)
    return file.getvalue()


def headed(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin1").ljust(118 - 10) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    found = npz_files.Npz(path)
    return found.read(found.names)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_sound_files(tmp_path, save) -> None:
    arrays = {"a": np.arange(12.0).reshape(3, 4), "b/c": np.array("text"), "d": np.zeros((0, 3), np.int8)}
    save(tmp_path / "a.npz", **arrays)
    found = npz_files.Npz(tmp_path / "a.npz")
    assert found.names == ("a", "b/c", "d")
    assert found.header("a") == npz_files.Header((3, 4), np.dtype("float64"))
    for name, value in found.read(["d", "a", "b/c"]).items():
        np.testing.assert_array_equal(value, arrays[name])


def test_bfloat16_is_read_as_such_and_other_unnamed_types_are_refused(tmp_path) -> None:
    values = np.array([[0.5, -3.0], [1e30, np.inf]], ml_dtypes.bfloat16)
    np.savez(tmp_path / "a.npz", a=values, b=values[0, 0])
    found = npz_files.Npz(tmp_path / "a.npz")
    assert found.header("a") == npz_files.Header((2, 2), values.dtype)
    np.testing.assert_array_equal(found.read(["a"])["a"], values)
    assert found.read(["b"])["b"] == values[0, 0]
    for odd in (values.astype(ml_dtypes.float8_e4m3fn), np.zeros(2, "i4,f4"), np.zeros(3, "V7")):
        np.savez(tmp_path / "b.npz", a=odd)
        with pytest.raises(npz_files.Invalid, match=r"a has the type .*; save it as float32"):
            npz_files.Npz(tmp_path / "b.npz").header("a")


HEADER = "{'descr': '%s', 'fortran_order': False, 'shape': %s}"


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"a.npy": npy(np.array([{}]), allow_pickle=True)}, "pickled objects"),
        ({"a.npy": b"no array"}, "magic"),
        ({"a.npy": b""}, "expected 8 bytes|EOF|magic"),
        ({"a.npy": b"\x93NUMPY\x09\x00" + bytes(64)}, "version"),
        ({"a.npy": b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31)}, "."),
        ({"a.npy": npy(np.zeros(4))[:-1]}, "bytes, expected"),
        ({"a.npy": npy(np.zeros(4)) + b"more"}, "bytes, expected"),
        ({"a.npy": headed(HEADER % ("<f8", "(1099511627776, 1099511627776)"))}, "bytes, expected"),
        ({"a.npy": headed(HEADER % ("<f8", "(-1, -8)"), bytes(64))}, "bytes, expected"),
        ({"a.npy": headed(HEADER % ("<f8", "(1" + "0" * 70 + ",)"))}, "."),
        ({"a.npy": headed(HEADER % ("|V0", "(9,)"))}, "type"),
        ({"a.npy": headed(HEADER % ("nonsense", "(1,)"))}, "descr"),
        ({"a.npy": headed("{" * 50)}, "."),
        ({"a.npy": headed("'x'")}, "."),
        ({"a.npy": npy(np.zeros(1)), "a": npy(np.zeros(1))}, "once, got one twice"),
        ({"folder/": b""}, "."),
    ],
)
def test_one_reason_for_each_wrong_array(tmp_path, members, told) -> None:
    with pytest.raises(npz_files.Invalid, match=told) as caught:
        read(archive(tmp_path / "a.npz", members))
    assert "\n" not in str(caught.value)


def test_a_small_file_that_asks_for_gigabytes_is_refused_before_it_is_read(tmp_path, monkeypatch) -> None:
    size = npz_files._ALWAYS_BYTES + 1024
    path = archive(tmp_path / "a.npz", {"a.npy": npy(np.zeros(size, np.uint8))}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(npz_files.Invalid, match=r"at most 50 times its .* compressed bytes"):
        read(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_damage_is_noticed(tmp_path, compression) -> None:
    data = npy(np.random.default_rng(0).integers(0, 9, 500))
    whole = archive(tmp_path / "a.npz", {"a.npy": data}, compression).read_bytes()
    rng = np.random.default_rng(1)
    sound = read(tmp_path / "a.npz")["a"]
    for trial in range(120):
        at = int(rng.integers(len(whole)))
        bad = (
            whole[:at]
            if trial % 3 == 0
            else whole[:at] + bytes([whole[at] ^ 1 << trial % 8]) + whole[at + 1 :]
        )
        (tmp_path / "b.npz").write_bytes(bad)
        try:
            found = read(tmp_path / "b.npz")
        except npz_files.Invalid:
            continue
        # A flip in what does not matter, such as a date or the array's name, changes no number.
        for value in found.values():
            np.testing.assert_array_equal(value, sound)


def test_an_encrypted_or_unknown_compression_is_refused(tmp_path) -> None:
    whole = bytearray(archive(tmp_path / "a.npz", {"a.npy": npy(np.zeros(4))}).read_bytes())
    central = whole.index(b"PK\x01\x02")
    for local, entry, value in ((6, 8, 1), (8, 10, 99)):
        changed = bytearray(whole)
        changed[local] = changed[central + entry] = value
        (tmp_path / "b.npz").write_bytes(changed)
        with pytest.raises(npz_files.Invalid, match=r"encrypted|compression"):
            read(tmp_path / "b.npz")


def test_missing_names_and_files(tmp_path) -> None:
    found = npz_files.Npz(archive(tmp_path / "a.npz", {"a.npy": npy(np.zeros(4))}))
    with pytest.raises(npz_files.Invalid, match="expected an array b, found none"):
        found.read(["b"])
    for content in (b"", b"text", b"PK\x05\x06", npy(np.zeros(3))):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(npz_files.Invalid, match="not a complete zip archive"):
            npz_files.Npz(tmp_path / "b.npz")
