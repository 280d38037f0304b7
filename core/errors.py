"""The one exception for mistakes that the user can mend."""

import sys


class UserError(Exception):
    """A mistake in a configuration, a file or a command; shown as one clear line, exit code 2.

    The message says what was wanted, what came, and what to change. It may hold several lines
    when several faults were found; each line is one fault.
    """


def tell(error: UserError) -> None:
    """Print a mistake for the user, one line a fault."""
    for line in str(error).splitlines():
        print(f"prismlab: {line}", file=sys.stderr)
