"""Find large parameters that FSDP leaves whole on every device, and the mesh that would split them.

A parameter is split over "data" along an axis whose size "data" divides; if there is none, every device
holds all of it, with its gradient and its moments. Fewer devices along "data" and more replicas fix that.
"""

from typing import Any

import numpy as np

from prismlab.core import trees
from prismlab.core.parallel import sharding

LARGE = 1e6  # bytes


def find(tree: Any, sizes: dict[str, int], rules: sharding.Rules) -> dict[str, float]:
    """Return path -> bytes of the large parameters of which no axis is split over "data".

    Args:
        tree: a learner, towers or any other tree; arrays or shape structs.
        sizes: mesh axis -> number of devices along it.
        rules: the sharding rules; parameters below `rules.smallest` are whole by choice and not listed.
    """
    if sizes.get("data", 1) == 1:
        return {}
    specs = sharding.specs(tree, sizes, rules)
    found = {}
    for path, leaf in trees.flatten(tree).items():
        if "data" not in specs[path] and leaf.size >= rules.smallest:
            size = float(leaf.size * np.dtype(leaf.dtype).itemsize)
            if size >= LARGE:
                found[path] = size
    return found


def advice(tree: Any, sizes: dict[str, int], rules: sharding.Rules) -> str:
    """Return one line that names the large parameters that stay whole and what splits them; "" if none does.

    Args:
        tree: see `find`.
        sizes: see `find`.
        rules: see `find`.
    """
    whole = find(tree, sizes, rules)
    if not whole:
        return ""
    largest = max(whole, key=lambda path: whole[path])
    others = f" and {len(whole) - 1} others" if len(whole) > 1 else ""
    verb = "stay" if others else "stays"
    data, replica = sizes["data"], sizes.get("replica", 1)
    fewer = [n for n in range(data - 1, 1, -1) if data % n == 0]
    left = {n: find(tree, sizes | {"data": n, "replica": data * replica // n}, rules) for n in fewer}
    best = min(fewer, key=lambda n: (sum(left[n].values()), -n), default=None)
    told = (
        f"{largest}{others} ({sum(whole.values()) / 1e6:,.0f} MB) {verb} whole on every device: no axis is "
        f"divisible by mesh.Layout.data={data}; "
    )
    if best is None or sum(left[best].values()) >= sum(whole.values()):
        return f"{told}no other size of data splits them"
    return f"{told}use data={best}, replica={data * replica // best}"
