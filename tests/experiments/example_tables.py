"""A table of three rows and three seeds, with claims, that the tests of pages and figures share."""

import numpy as np

from prismlab.experiments.statistics import claim_verdicts, item_scores, results_table, table_builder

ROWS = ("base", "base, longer", "new_row")
CLAIMS = (("new_row", "base", "motion"), ("new_row", "base, longer", "motion"))
_LEVEL = {("base", "motion"): 0.4, ("base, longer", "motion"): 0.5, ("new_row", "motion"): 0.503}


def results_and_items(rows=ROWS, seeds=3, items=40):
    """Return results of rows and seeds with the outcome of each clip; "species" is in no claim."""
    found, kept = [], {}
    generator = np.random.default_rng(0)
    names = tuple(f"clip {number}" for number in range(items))
    for seed in range(seeds):
        for label in rows:
            metrics = {}
            for metric in ("motion", "species"):
                level = _LEVEL.get((label, metric), 0.3) + 0.01 * seed
                values = np.round(np.clip(level + generator.normal(0, 0.05, items), 0, 1), 6)
                kept[label, seed, metric] = item_scores.ItemScores(names, names, values)
                metrics[metric] = results_table.Score(float(values.mean()), items, {"chance": 0.125})
            found.append(results_table.Result(label, seed, metrics))
    return found, kept


def table(rows=ROWS, claims=CLAIMS, seeds=3, **fields):
    """Return the table of `results_and_items`; `claims` may be ()."""
    results, items = results_and_items(rows, seeds)
    plan = claim_verdicts.Plan(claims=claims, seeds=tuple(range(seeds))) if claims else None
    fields = {"title": "smoke & mirrors", "logs": [], **fields}
    return table_builder.build_table(results, reference=rows[:2], items=items, plan=plan, **fields)
