"""Progress: plain lines without a terminal, and no crash in any terminal."""

import io
import pathlib
import re

import hypothesis
import pytest
import rich.console
from hypothesis import strategies as st

from prismlab.experiments import console


def stream(encoding="utf-8"):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)


def written(file):
    return file.buffer.getvalue().decode(file.encoding)


def test_without_a_terminal_plain_lines_are_printed(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    file, now = stream(), [0.0]
    out = rich.console.Console(file=file, width=20, highlight=False)
    with console.Progress("stage1", 100, console=out, clock=lambda: now[0]) as progress:
        for step in range(1, 101):
            now[0] += 0.25
            progress.update(step, loss=2.0, clips_per_second=640.0, data_wait_share=0.031)
        progress.status("probe: [species] 0.61")
    lines = written(file).splitlines()
    assert lines == [
        "stage1: step 0/100, starts",
        "stage1: step 40/100, loss 2, 640 clips/s, data wait 3 %, 0:15 left",
        "stage1: step 80/100, loss 2, 640 clips/s, data wait 3 %, 0:05 left",
        "probe: [species] 0.61",
        "stage1: step 100/100, loss 2, 640 clips/s, data wait 3 %, done after 0:25",
    ]


def test_a_stage_that_fails_says_where_it_stopped():
    file = stream()
    progress = console.Progress("s", 9, start=3, console=rich.console.Console(file=file))

    def fail():
        with progress:
            progress.update(5)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "step 3/9, resumes" in written(file)
    assert "step 5/9, stopped after 0:00" in written(file)


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(
    width=st.integers(1, 120),
    encoding=st.sampled_from(["utf-8", "ascii"]),
    stage=st.text(max_size=8),
    loss=st.one_of(st.none(), st.floats()),
    terminal=st.booleans(),
)
def test_no_terminal_is_too_small_or_too_plain(width, encoding, stage, loss, terminal):
    file = stream(encoding)
    out = rich.console.Console(
        file=file, width=width, force_terminal=terminal, color_system=None, legacy_windows=False
    )
    with console.Progress(stage, 4, console=out) as progress:
        progress.update(1, loss)
        progress.status(stage + "\n[bold] –")
        progress.update(4, loss, 3.0, 0.5)
    assert written(file)


def test_the_time_left_is_estimated_after_the_first_step():
    file, now = stream(), [0.0]
    out = rich.console.Console(file=file, width=80, highlight=False)
    with console.Progress("s", 100, console=out, clock=lambda: now[0], first="compiling") as progress:
        for step, seconds in ((1, 300.0), (10, 9.0), (20, 10.0)):
            now[0] += seconds
            progress.update(step)
    assert written(file).splitlines() == [
        "s: step 0/100, starts, compiling",
        "s: step 1/100",
        "s: step 20/100, 1:20 left",
        "s: step 20/100, done after 5:19",
    ]


def test_rare_updates_still_give_an_estimate():
    file, now = stream(), [0.0]
    out = rich.console.Console(file=file, width=80, highlight=False)
    with console.Progress("s", 40, start=10, console=out, clock=lambda: now[0]) as progress:
        for step in (20, 30):
            now[0] += 500.0
            progress.update(step)
    assert "s: step 30/40, 8:20 left" in written(file)


def test_a_live_line_says_compiling_until_the_first_step():
    file = stream()
    out = rich.console.Console(file=file, width=120, force_terminal=True, color_system=None)
    with console.Progress("s", 4, console=out, first="compiling"):
        pass
    assert "compiling" in written(file)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, 日本\u3000語", "plain, naïve, 日本\u3000語"),
        ("\x1b]0;title\x07\x9b2J\x7f", r"\x1b]0;title\x07\x9b2J\x7f"),
        ("a\rb\nc\td", r"a\rb\nc\td"),
        ("\u202egnp.exe\u2028\ufeff", r"\u202egnp.exe\u2028\ufeff"),
        ("\ud800\U000e0041", r"\ud800\U000e0041"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    ],
)
def test_control_characters_are_shown_as_escapes(text, shown):
    assert console.escaped(text) == shown


def test_whatever_is_printed_is_escaped(capsys):
    hostile = "\x1b[2J[red]\x07"
    console.write(f"{hostile}\nnext")
    console.say(console.make_console(), hostile)
    console.table(console.make_console(), [hostile, "b"], [[hostile, hostile]], numbers=["b"])
    console.tell(f"{hostile}\nsecond")
    out, err = capsys.readouterr()
    assert err.splitlines() == [r"prismlab: \x1b[2J[red]\x07", "prismlab: second"]
    assert out.count(r"\x1b[2J[red]\x07") == 5
    assert all(sign.isprintable() or sign == "\n" for sign in out)


def test_a_table_in_a_pipe_is_as_wide_as_it_needs_to_be():
    file = stream()
    out = rich.console.Console(file=file, width=20)
    console.table(out, ["name", "number"], [["x" * 60, "1"]], numbers=["number"])
    assert "x" * 60 in written(file)
    assert out.width == 20


def test_only_the_console_module_prints():
    rooms = pathlib.Path(console.__file__).parents[1]
    calls = re.compile(r"(?<!\w)print\(|\.print\(|\.add_row\(|stderr\.write|stdout\.write")
    found = [
        f"{path.relative_to(rooms)}:{number}: {line.strip()}"
        for room in ("core", "data", "objectives", "experiments")
        for path in sorted((rooms / room).rglob("*.py"))
        # standard_streams prints its own words only, and below the console.
        if path.name not in ("console.py", "standard_streams.py") and "bench" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if calls.search(line)
    ]
    assert not found, "use experiments/console.py, which escapes: " + "; ".join(found)


def test_a_live_line_shows_the_figures():
    file = stream()
    out = rich.console.Console(file=file, width=120, force_terminal=True, color_system=None)
    with console.Progress("[red]stage1[/blue]", 4, console=out) as progress:
        progress.update(2, 1.5, 640.0, 0.25)
    text = written(file)
    assert "[red]stage1[/blue]" in text
    assert "2/4" in text
    assert "loss 1.5, 640 clips/s, data wait 25 %" in text


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0:00"), (59.9, "0:59"), (61, "1:01"), (3725, "1:02:05")])
def test_durations(seconds, text):
    assert console.duration(seconds) == text
