"""Scores of an external classifier for whole videos, as papers on ActivityNet use them."""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Float32

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """Scores of a classifier that saw whole videos.

    Args:
        path: JSON file {"class": [names], "results": {id: [scores]}}, such as `cuhk_val_simp_share.json`.
    """

    path: str

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the file."""
        del cache
        return clip_files.digest_of((self.path,), ())

    def of(self, found: items.ItemSet) -> Float32[np.ndarray, "n c"]:
        """Return the score of each class for each video.

        Args:
            found: the videos; their ids in the file may have the prefix v_ or lack it.

        Raises:
            UserError: the file has other classes, or lacks a video.
        """
        data = annotation_files.json_of(self.path, dict, "scores of a classifier")
        names, results = data.get("class"), data.get("results")
        if not isinstance(names, list) or not isinstance(results, dict):
            raise errors.UserError(
                f"{self.path}: expected a list 'class' and an object 'results', found keys "
                f"{', '.join(map(repr, list(data)[:5]))}; is this a file such as cuhk_val_simp_share.json?"
            )
        if sorted(map(str, names)) != sorted(found.classes):
            raise errors.UserError(
                f"{self.path}: expected scores of the {len(found.classes)} classes of {found.name}, found "
                f"{len(names)} other names; give the scores of the same version"
            )
        order = [names.index(each) for each in found.classes]
        rows = []
        for item in found.items:
            stem = item.key.removeprefix("v_")
            row = results.get(stem, results.get(f"v_{stem}"))
            numbers = [annotation_files.number(each) for each in row] if isinstance(row, list) else []
            if len(numbers) != len(names) or None in numbers:
                raise errors.UserError(
                    f"{self.path}: expected {len(names)} scores of 0 or more for each video, found none of "
                    f"{item.key!r}; leave such videos out with activitynet.ActivityNet.blocked"
                )
            rows.append([numbers[at] for at in order])
        return np.asarray(rows, np.float32)
