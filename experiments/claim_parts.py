"""The comparisons that a declared claim consists of."""

Declared = tuple[str, str | tuple[str, ...], str]


def parts(claim: Declared) -> list[tuple[str, str, str]]:
    """Return the comparisons (row, against, metric) of a claim, one for each reference.

    Args:
        claim: (row, against, metric); `against` is one label, or several for a claim about all of them.
    """
    row, against, metric = claim
    return [(row, each, metric) for each in ((against,) if isinstance(against, str) else against)]
