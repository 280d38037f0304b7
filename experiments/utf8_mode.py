"""UTF-8 mode of Python for the commands: text and file names do not depend on the locale.

Our own files are read and written with `encoding="utf-8"`, but libraries (gin, Orbax) fail on names
beyond the locale's encoding, or write other bytes.
"""

import codecs
import locale
import os
import sys


def enter() -> None:
    """Start this command again in UTF-8 mode unless the locale is UTF-8; standard streams keep theirs."""
    encodings = {sys.getfilesystemencoding(), locale.getpreferredencoding(False)}
    if sys.flags.utf8_mode or {codecs.lookup(each).name for each in encodings} == {"utf-8"}:
        return
    environment = os.environ | {"PYTHONUTF8": "1"}
    if sys.stdout is not None:
        environment.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
