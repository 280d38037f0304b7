"""UserError, the one exception for errors that the user can fix, and advice that several messages give."""


class UserError(ValueError):
    """Error in a configuration, a file or a command; printed without a traceback, exit code 2.

    The message states what was expected, what was found, and what to change. It has one line per
    error; several errors may be reported together. It is a ValueError, so that Python callers need not know
    this module; a handler of ValueError around our own code re-raises it first.
    """


def install_extra(name: str) -> str:
    """Return the advice to install an extra of this package, which no package registry has.

    Args:
        name: an extra of `pyproject.toml`, such as "tpu".
    """
    return f"in the checkout of prismlab, run pip install -e '.[{name}]'"
