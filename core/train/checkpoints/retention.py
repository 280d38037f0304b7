"""Which checkpoints of a stage are kept."""

from typing import Any


class Newest:
    """Preservation policy of Orbax: keeps the newest checkpoints, and one that is protected.

    Args:
        keep: number of newest checkpoints.
    """

    def __init__(self, keep: int):
        self.keep = keep
        self.protected: int | None = None

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:
        """Return which of the checkpoints, oldest first, stay."""
        del context
        newest = len(checkpoints) - self.keep
        return [index >= newest or each.step == self.protected for index, each in enumerate(checkpoints)]
