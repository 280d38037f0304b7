"""Files of the pictures of a page: of a stage beside its checkpoints, of test clips in the work directory."""

import hashlib

from prismlab.core.io import filesystem

SEEN, CLIPS = "seen.png", "clips"
MOST_BYTES = 2**22  # of a picture that is shown
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def of_clip(workdir: filesystem.Path, key: str) -> filesystem.Path:
    """Return the file of the picture of a test clip.

    Args:
        workdir: the work directory.
        key: name of the clip; any text.
    """
    name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return workdir / CLIPS / f"{name}.png"


def read(path: filesystem.Path) -> bytes | None:
    """Return a picture, or None if it is missing, larger than `MOST_BYTES` or no PNG."""
    if not path.is_file() or filesystem.size_and_version(path)[0] > MOST_BYTES:
        return None
    data = filesystem.read(path)
    return data if data.startswith(_SIGNATURE) else None
