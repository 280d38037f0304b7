"""Exit codes of the command line."""

DONE = 0
DEFECT = 1  # internal error, with a traceback
USER_ERROR = 2  # one line says what to change
SOME_FAILED = 3  # done, but some of the user's files failed and are listed
DIVERGED = 4  # the loss was not finite; the last good checkpoint was kept
INTERRUPTED = 75  # interrupted and saved; run the same command to continue
