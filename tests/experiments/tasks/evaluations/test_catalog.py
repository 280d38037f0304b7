"""The catalog names the 33 benchmarks of the paper, and only gin files that exist."""

import pathlib

from prismlab.experiments.tasks.evaluations import catalog

GIN = pathlib.Path(catalog.__file__).parents[2] / "gin"


def test_all_33_benchmarks_are_listed_once():
    names = [row.benchmark for row in catalog.ROWS]
    assert len(names) == len(set(names)) == 33
    groups = [row.group for row in catalog.ROWS]
    counts = {group: groups.count(group) for group in groups}
    assert counts["retrieval"] == 6
    assert counts["zero-shot classification"] == 7
    assert counts["language"] == 6
    assert counts["science"] == 6
    assert counts["video classification"] + counts["localisation"] == 8


def test_a_gin_file_that_is_named_exists():
    for row in catalog.ROWS:
        assert not row.gin or (GIN / row.gin).exists(), row
