"""`prismlab` on a host whose data fail at its fourth step: what the other hosts of a run make of it."""

import sys
from collections.abc import Iterator
from typing import Any

from prismlab.core import errors
from prismlab.experiments import main
from prismlab.experiments.run import feed

batches = feed.batches


def failing(*positional: Any, **named: Any) -> Iterator[Any]:
    """Yield three batches, then fail as a damaged clip does."""
    for number, batch in enumerate(batches(*positional, **named)):
        if number == 3:
            raise errors.UserError("clip 7 is damaged; leave it out")
        yield batch


if __name__ == "__main__":
    feed.batches = failing
    sys.exit(main.main(sys.argv[1:]))
