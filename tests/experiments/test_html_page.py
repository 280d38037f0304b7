"""HTML pages: one frame for all, nothing loaded from elsewhere, nothing unescaped."""

import html.parser
import pathlib

import jinja2
import pytest

from prismlab.experiments import html_page
from prismlab.experiments.report import page_facts
from prismlab.experiments.report.evaluation_page import example_pictures, group_marks
from prismlab.experiments.statistics import comparisons, variance_split

HOSTILE = "<script>alert(1)</script>\x1b]0;title\x07\x00\u202e\ud800'\" onload=x"
SPLIT = variance_split.Split(
    comparisons.Claim(HOSTILE, HOSTILE, HOSTILE, 0.1, None, 0.95, None, 0.02, None, 2), 0.5, 0.25, 0.25, True
)
DISAGREE = page_facts.Disagreements(
    HOSTILE, HOSTILE, HOSTILE, (page_facts.Disagreement(HOSTILE, 1.0, 0.0),), (), (1, 0, 2)
)
EXAMPLE = example_pictures.Example(
    HOSTILE, HOSTILE, ((HOSTILE, HOSTILE),), HOSTILE,
    (example_pictures.Frame("detected", 1, 10.0, 10.0, 20.0, 20.0),), 2.0,
    ((HOSTILE, 1, (example_pictures.Bar(10.0, 20.0, 1, 120, 0.5, 0),)),),
)  # fmt: skip
GRID = ([HOSTILE, HOSTILE], [[HOSTILE, HOSTILE]])
PAGES = {
    "report.html": {
        "title": HOSTILE,
        "verdicts": [(HOSTILE, HOSTILE)],
        "scope": HOSTILE,
        "forest": [(HOSTILE, HOSTILE)],
        "scales": [(HOSTILE, HOSTILE, HOSTILE, GRID[1])],
        "scale_heads": GRID[0],
        "matched": [{"row": HOSTILE, "text": HOSTILE}],
        "table": ([HOSTILE], [[(HOSTILE, HOSTILE)]]),
        "compared": [(HOSTILE, GRID)],
        "paired": GRID,
        "changes": [page_facts.Change(HOSTILE, (HOSTILE,), HOSTILE)],
        "splits": [SPLIT],
        "compute": [(HOSTILE, HOSTILE)],
        "costs": [[(HOSTILE, HOSTILE)] * 3],
        "curves": [(HOSTILE, [(HOSTILE, HOSTILE)])],
        "cut": HOSTILE,
        "seen": [(page_facts.Seen(HOSTILE, (HOSTILE,), HOSTILE, b""), HOSTILE)],
        "disagreements": [(DISAGREE, [(HOSTILE, [(DISAGREE.gained[0], HOSTILE)])])],
        "health": [page_facts.Health(HOSTILE, (HOSTILE,), 3, (HOSTILE,), 1.0, None)],
        "lost": [HOSTILE],
        "notes": [(HOSTILE, HOSTILE)],
        "certificates": [(HOSTILE, HOSTILE)],
        "certificate": "certificate.json",
        "extra": [(HOSTILE, HOSTILE)],
    },
    "search.html": {
        "note": HOSTILE,
        "queries": [(HOSTILE, [dict.fromkeys(("picture", "score", "path", "span"), HOSTILE)])],
    },
    "plan.html": {"title": HOSTILE, "lines": [HOSTILE], "tables": [(HOSTILE, *GRID)]},
    "evaluation.html": {
        "title": HOSTILE,
        "encoder": HOSTILE,
        "heads": GRID[0],
        "lines": GRID[1],
        "bars": [(*(HOSTILE,) * 7, [(HOSTILE, 0.5)])],
        "facts": [(HOSTILE, HOSTILE)],
        "examples": [(HOSTILE, [EXAMPLE])],
        "methods": HOSTILE,
        "groups": [
            group_marks.Row(HOSTILE, HOSTILE, (HOSTILE,), 50.0, 40.0, 60.0, 10.0, 20.0, 30.0, 100.0, HOSTILE)
        ],
    },
    "doctor.html": {"lines": [HOSTILE], "details": HOSTILE},
}


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


def test_every_page_is_tested():
    templates = {path.name for path in html_page._TEMPLATES.glob("*.html")}
    assert templates == {*PAGES, "base.html", "macros.html"}


@pytest.mark.parametrize("template", PAGES)
def test_hostile_values_stay_text_and_lose_their_control_characters(template):
    text = html_page.render(template, **PAGES[template])
    text.encode("utf-8")
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert any(r"<script>alert(1)</script>\x1b]0;title\x07\x00\u202e\ud800" in part for part in page.texts)


@pytest.mark.parametrize("template", PAGES)
def test_every_page_has_the_common_frame(template):
    text = html_page.render(template, **PAGES[template])
    page = Page(text)
    policies = [each["content"] for tag, each in page.tags if each.get("http-equiv")]
    assert text.startswith("<!doctype html>\n<html")
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert any(each.get("name") == "viewport" for _, each in page.tags)
    for rule in ("prefers-color-scheme: dark", "@media print", "overflow-x: auto"):
        assert rule in text


def test_a_forgotten_value_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="details"):
        html_page.render("doctor.html", lines=[])


def test_no_other_file_writes_html():
    rooms = pathlib.Path(html_page.__file__).parents[1]
    files = [path for room in ("core", "data", "experiments") for path in (rooms / room).rglob("*.py")]
    assert len(files) > 100
    writers = [path.name for path in files if any(tag in path.read_text() for tag in ("<html", "<td", "<h1"))]
    assert not writers
