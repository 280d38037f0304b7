"""Paths on the command line and in gin files follow one rule (`core/io/user_paths.py`)."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from prismlab.core import errors
from prismlab.core.io import user_paths
from prismlab.data.corpus.inputs import images, table, tars, transcripts
from prismlab.data.loader import source, tokenizer
from prismlab.data.video import listing
from prismlab.experiments import main
from prismlab.experiments.commands import path_arguments
from prismlab.experiments.gin_strict import parse
from prismlab.experiments.released import released_weights
from prismlab.experiments.tasks.readers import labelled_files

COMMANDS = {
    "workdir": ["ablate", "smoke.gin", "--workdir="],
    "directory": ["report"],
    "out": ["data", "prepare", "a.gin", "--out="],
    "home": ["data", "doctor"],
    "source": ["convert", "to.npz"],
    "html": ["data", "doctor", "x", "--html="],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_arguments_expand_home_and_refuse_an_empty_path(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    def parsed(text: str) -> Any:
        *words, last = COMMANDS[name]
        given = [*words, last + text] if last.endswith("=") else [*words, last, text]
        if name == "source":
            given = ["convert", text, "to.npz"]
        return getattr(main._parse(given), name)

    assert str(parsed("~/x")) == str(tmp_path / "x")
    with pytest.raises(path_arguments.RefusedArgument, match="expected a path"):
        parsed("")


READERS: dict[str, Callable[[str], Any]] = {
    "images": lambda path: list(images.Images(path).units()),
    "frames": lambda path: list(images.FrameFolders(path).units()),
    "table": lambda path: list(table.Table(path).units()),
    "tars": lambda path: list(tars.Tars(path).units()),
    "transcripts": lambda path: list(transcripts.Transcripts(path).units()),
    "folder": lambda path: source.Folder(path).open(pathlib.Path("unused")),
    "shards": lambda path: source.Shards(path).open(pathlib.Path("unused")),
    "tokenizer": lambda path: tokenizer.Tokenizer(model=path).prepare(pathlib.Path("unused")),
    "released model": lambda path: released_weights.configuration(f"{path}.json"),
    "weights": lambda path: released_weights.Released("videoprism_public_v1_base", path).digest(),
    "labelled table": lambda path: labelled_files.LabelledTable(path).read("test", pathlib.Path("unused")),
    "labelled folder": lambda path: labelled_files.LabelledFolder(path).read("test", pathlib.Path("unused")),
}


@pytest.mark.parametrize("name", READERS)
def test_bindings_with_paths_expand_home(name: str, tmp_path, monkeypatch) -> None:
    seen: list[str] = []

    def expand(text: str) -> str:
        seen.append(text)
        return str(tmp_path / "missing")

    monkeypatch.setattr(user_paths, "expand", expand)
    with pytest.raises((errors.UserError, OSError), match="missing"):
        READERS[name]("~/missing")
    assert "~/missing" in {text.removesuffix(".json") for text in seen}


def test_words_and_includes_expand_home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.gin").touch()
    assert listing.find(["~/a.mp4", "~/*.mp4", ""])[0] == [tmp_path / "a.mp4"]
    assert parse.find("~/a.gin", pathlib.Path()) == tmp_path / "a.gin"
