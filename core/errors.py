"""UserError: the one exception for errors that the user can fix."""

import sys


class UserError(Exception):
    """Error in a configuration, a file or a command; printed without a traceback, exit code 2.

    The message states what was expected, what was found, and what to change. It has one line per
    error; several errors may be reported together.
    """


def tell(error: UserError) -> None:
    """Print an error to stderr, one line per error."""
    for line in str(error).splitlines():
        print(f"prismlab: {line}", file=sys.stderr)
