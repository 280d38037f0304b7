"""Quantiles of the normal and of Student's t distribution.

They are the special functions that `scipy.stats` itself evaluates, without its checks for each call and its
import, which takes longer than the statistics of a table.
"""

import scipy  # its parts are imported at their first use


def normal(share: float) -> float:
    """Return the value below which a share of the standard normal distribution lies.

    Args:
        share: in [0, 1].
    """
    return float(scipy.special.ndtri(share))


def student(share: float, freedom: int) -> float:
    """Return the value below which a share of Student's t distribution lies.

    Args:
        share: in [0, 1].
        freedom: degrees of freedom, >= 1.
    """
    return float(scipy.special.stdtrit(freedom, share))
