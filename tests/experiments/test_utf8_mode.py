"""Commands read and write UTF-8 whatever the locale."""

import subprocess
import sys
import types

import cli
import pytest

CODE = """
import locale, sys
from prismlab.experiments import utf8_mode
utf8_mode.enter()
open(sys.argv[1], "w").write("gr\\u00f6\\u00dfe \\u4e2d")
print(sys.argv[1].isprintable(), sys.stdout.encoding)
"""


@pytest.mark.parametrize("mode", ["0", "1"])
def test_text_and_names_are_utf8_in_an_ascii_locale(tmp_path, mode) -> None:
    path = tmp_path / "größe 中"
    environment = cli.environment(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8=mode)
    environment.pop("PYTHONIOENCODING", None)
    command = [sys.executable, "-c", CODE, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert path.read_text(encoding="utf-8") == "größe 中"
    assert done.stdout == ("True ascii\n" if mode == "0" else "True utf-8\n")


def test_a_utf8_locale_is_left_alone(monkeypatch) -> None:
    from prismlab.experiments import utf8_mode

    monkeypatch.setattr(utf8_mode.os, "execve", lambda *arguments: pytest.fail("started again"))
    monkeypatch.setattr(utf8_mode.sys, "getfilesystemencoding", lambda: "utf-8")
    monkeypatch.setattr(utf8_mode.locale, "getpreferredencoding", lambda _: "UTF-8")
    utf8_mode.enter()


def test_an_iso_locale_starts_again_and_streams_keep_their_encoding(monkeypatch) -> None:
    from prismlab.experiments import utf8_mode

    started = []
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    monkeypatch.setattr(utf8_mode.os, "execve", lambda *arguments: started.append(arguments))
    monkeypatch.setattr(utf8_mode.locale, "getpreferredencoding", lambda _: "ISO-8859-1")
    fake = types.SimpleNamespace(
        flags=types.SimpleNamespace(utf8_mode=0), getfilesystemencoding=sys.getfilesystemencoding,
        stdout=sys.stdout, executable=sys.executable, orig_argv=sys.orig_argv,
    )  # fmt: skip
    monkeypatch.setattr(utf8_mode, "sys", fake)
    utf8_mode.enter()
    ((program, words, environment),) = started
    assert (program, words[1:]) == (sys.executable, sys.orig_argv[1:])
    assert environment["PYTHONUTF8"] == "1"
    assert environment["PYTHONIOENCODING"] == sys.stdout.encoding
