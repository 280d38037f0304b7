"""Write tiny annotation files and empty videos for the tests of readers."""

import json
import pathlib


def text(folder: pathlib.Path, name: str, content: str) -> str:
    """Write a text file and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return str(path)


def plain(folder: pathlib.Path, name: str, value) -> str:
    """Write a JSON file and return its path."""
    return text(folder, name, json.dumps(value))


def videos(folder: pathlib.Path, *names: str) -> str:
    """Write files without content under these names, and return the folder."""
    for name in ("", *names):
        path = folder / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name:
            path.write_bytes(b"x")
        else:
            path.mkdir(exist_ok=True)
    return str(folder / "videos")


def missing(found) -> list[str]:
    """Return the keys of the items that have no video."""
    return [item.key for item in found.items if not item.path]
