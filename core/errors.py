"""UserError: the one exception for errors that the user can fix."""


class UserError(Exception):
    """Error in a configuration, a file or a command; printed without a traceback, exit code 2.

    The message states what was expected, what was found, and what to change. It has one line per
    error; several errors may be reported together.
    """
