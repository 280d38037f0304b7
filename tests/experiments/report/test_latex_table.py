"""The LaTeX table: golden text, labels that cannot be commands, and a real compiler where there is one."""

import pathlib
import re
import shutil
import subprocess

import example_tables
import pytest

from prismlab.experiments.report import latex_table, latex_text
from prismlab.experiments.statistics import results_table, table_builder

GOLDEN = pathlib.Path(__file__).with_name("golden_table.tex")
DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs, siunitx, xcolor}
\begin{document}
\input{table}
\end{document}
"""


def test_the_text_is_the_golden_one():
    assert latex_table.text(example_tables.table()) == GOLDEN.read_text(encoding="utf-8")


def test_bold_is_what_is_claimed_and_separable_only():
    lines = latex_table.text(example_tables.table()).splitlines()
    bold = [line for line in lines if r"\bfseries" in line]
    assert len(bold) == 1
    assert bold[0].startswith(r"\raggedright {new\_row}")
    assert bold[0].count(r"\bfseries") == 2  # difference and interval to "base", not those to "base, longer"
    nothing = latex_table.text(example_tables.table(claims=()))
    assert r"\bfseries" not in nothing
    assert "All differences are exploratory" in nothing


def test_plus_minus_is_explained_wherever_it_stands():
    for table in (example_tables.table(), example_tables.table(claims=())):
        for part in latex_table.text(table).split(r"\begin{table}")[1:]:
            assert (r" \pm " in part) == (r"$\pm$: half width of the 95\,\% interval" in part)
    single = latex_table.text(example_tables.table(seeds=1))  # Wilson's interval is not symmetric
    assert r" \pm " not in single
    assert "1 seed, 40 test clips" in single


def test_a_table_that_does_not_fit_a_page_becomes_several(monkeypatch):
    table = example_tables.table(claims=())
    assert latex_table.text(table).count(r"\begin{table}") == 1
    monkeypatch.setattr(latex_table, "_MOST_LINES", 5)
    text = latex_table.text(table)
    assert re.findall(r"\\label\{(.*?)\}", text) == ["tab:differences", "tab:differences-b"]
    assert text.count("species") == 1


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("50 % & $x_1^2$ ~#", r"50 \% \& \$x\_1\textasciicircum{}2\$ \textasciitilde{}\#"),
        ("a--b---c", "a-{}-b-{}-{}-c"),
        ("é 中\n\x1b", r"é [U+4E2D]\textbackslash{}n\textbackslash{}x1b"),
    ],
)
def test_no_character_of_a_label_is_a_command(text, written):
    assert latex_text.escaped(text) == written


def test_a_comment_is_one_line_of_ascii():
    assert latex_text.comment("x\n\\input{é}") == "% x\\n\\input{?}"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX on this machine")
def test_a_real_compiler_accepts_it(tmp_path):
    every = "".join(map(chr, range(32, 127))) + "é中±–…"
    odd = ["[1] first", every, "new_row", "not finite"]
    tables = [
        example_tables.table(),
        example_tables.table(claims=()),
        example_tables.table(odd[:3], claims=(("new_row", odd[1], "motion"),)),
        example_tables.table(seeds=1),
    ]
    lost = [
        results_table.Result(label, 0, {"m^1": results_table.Score(value, 0, {})})
        for label, value in (("a", 123456.0), (odd[3], float("nan")))
    ]
    tables.append(table_builder.build_table(lost, reference=["a"]))
    (tmp_path / "table.tex").write_text("\n".join(map(latex_table.text, tables)), encoding="utf-8")
    (tmp_path / "document.tex").write_text(DOCUMENT)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "document.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120
    )
    assert done.returncode == 0, re.findall(r"^!.*(?:\n.*){4}", done.stdout, re.MULTILINE)
    assert (tmp_path / "document.pdf").stat().st_size > 1000
