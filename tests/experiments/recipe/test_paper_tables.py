"""The paper's ablations ship at full scale and as twins on the rendered world, with the printed numbers."""

import functools
import pathlib
import re

import pytest

from prismlab.experiments.gin_strict import parse, strict
from prismlab.experiments.recipe.checks import check

FOLDER = pathlib.Path(parse.SHIPPED) / "paper"
TABLES = sorted(path.stem for path in FOLDER.glob("*.gin") if not path.stem.endswith("_small"))
# Values of the paper, by table: those of K400, SSv2 and AVA, and R@1 of MSRVTT and VATEX.
FIGURE_4 = {
    "contrastive, public clips": (81.7, 50.0),
    "+ full corpus": (83.8, 55.4),
    "contrastive + masked pixels, one stage": (82.7, 55.9),
    "two stages instead": (81.9, 60.9),
    "+ global distillation": (83.3, 61.8),
    "+ token shuffling (full)": (84.2, 63.6),
}
PRINTED = {
    "masks": {"BEVT, 65% hidden": (84.2, 63.6)},
    "public_clips": {
        "stage 1, 7M clips": (81.0, 47.6),
        "stage 1, 150M clips": (81.7, 50.0),
        "stage 2, 7M clips": (81.5, 60.3),
        "stage 2, 150M clips": (82.7, 60.5),
    },
    "mixtures": {
        "InternVid": (28.9, 55.8, 40.8, 57.3),
        "YTT": (19.6, 47.5, 26.3, 49.7),
        "InternVid + YTT, mixed batches": (29.5, 56.7, 29.9, 41.0),
        "InternVid, then YTT": (21.7, 54.7, 29.8, 54.8),
        "YTT, then InternVid": (29.3, 56.4, 39.9, 57.5),
        "InternVid + YTT, alternating": (29.8, 57.4, 39.4, 58.2),
        "full corpus, alternating": (34.3, 64.4, 52.0, 69.7),
    },
    "image_starts": {
        "CLIP, frozen": (73.1, 39.8, 27.6, 52.4),
        "CLIP, tuned": (79.6, 51.1, 27.4, 53.3),
        "CoCa": (81.7, 50.0, 29.9, 57.3),
    },
    "space_time_attention": {
        "joint attention": (84.5, 52.6, 34.2, 64.0),
        "factorized attention": (82.9, 55.5, 34.2, 64.6),
    },
    "unlabelled_clips": {"618M clips": (85.8, 66.4, 33.1), "898M clips": (86.1, 66.7, 33.7)},
    "removed_parts": {
        "full": (84.2, 63.6, 30.6),
        "without token shuffling": (83.6, 61.8, 29.4),
        "without global distillation": (83.4, 64.2, 29.0),
    },
}


@functools.cache
def ablation(name):
    return strict.load(f"paper/{name}.gin").root


def test_each_table_has_a_twin_and_printed_numbers():
    twins = {path.stem.removesuffix("_small") for path in FOLDER.glob("*_small.gin")}
    assert twins == set(TABLES) == set(PRINTED)


@pytest.mark.parametrize("name", TABLES)
def test_the_numbers_of_the_paper_stand_beside_their_rows(name):
    text = (FOLDER / f"{name}.gin").read_text(encoding="utf-8")
    _numbers_stand_beside(text, ablation(name), PRINTED[name])


def test_the_numbers_of_figure_4_stand_beside_its_rows_which_its_data_sets_judge():
    root = strict.load("ablation_fig4.gin").root
    _numbers_stand_beside((FOLDER.parent / "ablation_fig4.gin").read_text(encoding="utf-8"), root, FIGURE_4)
    assert list(root.rows) == list(FIGURE_4)
    assert set(root.base.tasks) == {"K400", "SSv2"}


def _numbers_stand_beside(text, root, printed):
    head = text[: text.index("from __gin__")]
    assert set(printed) <= set(root.rows)
    for row, values in printed.items():
        (line,) = [line for line in head.splitlines() if line.startswith(f"#   {row}  ")]
        found = [float(each) for each in re.findall(r"(?<=\s)\d+\.\d\b", line)]
        assert found == list(values)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_and_its_twin_have_the_same_rows_and_compare_them_alike(name):
    full, small = ablation(name), ablation(f"{name}_small")
    assert [label for label in small.rows if label != "untrained encoder"] == list(full.rows)
    assert small.compare_with == full.compare_with
    small_rows = small.experiments()
    for label, each in full.experiments().items():
        assert [stage.name for stage in each.stages] == [stage.name for stage in small_rows[label].stages]
        for stage, twin in zip(each.stages, small_rows[label].stages):
            assert list(stage.objectives) == list(twin.objectives)


# One table in `make test`, the others in `make test-long`. The twins' stages differ from the full ones in
# sizes; they are built with the slow tests.
FULL = [pytest.param(name, marks=[pytest.mark.long] * (name != "removed_parts")) for name in TABLES]
TWINS = [pytest.param(f"{name}_small", marks=pytest.mark.slow) for name in TABLES]


@pytest.mark.parametrize("name", [*FULL, *TWINS])
def test_each_row_is_consistent(name):
    for each in ablation(name).experiments().values():
        check.abstract_stages(each)
