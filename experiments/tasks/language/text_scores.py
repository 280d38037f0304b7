"""Scores of generated texts: each beside its control without video, with the facts that made it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prismlab.core import errors
from prismlab.experiments.recipe import task_interface
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.interface import protocols, texts
from prismlab.experiments.tasks.language import bridge_fit, fitted, training_pairs
from prismlab.experiments.tasks.metrics import item_outcomes
from prismlab.experiments.tasks.metrics.answers import text_metric

CONTROL = ", no video"  # ending of the name of a control
NOT_COMPUTED = "not computed"
_ENDS = 20  # steps at both ends whose losses are averaged


@dataclasses.dataclass(frozen=True)
class Said:
    """Generated texts of a bridge and of its control.

    Args:
        texts: one a reference.
        facts: what made them.
    """

    texts: Sequence[str]
    facts: Mapping[str, Any]


def check(how: protocols.Protocol, tokens: int, batch_size: int) -> None:
    """Check the settings that tasks of texts share.

    Raises:
        UserError: several views or layers, or a number that is not positive.
    """
    if how.views > 1 or how.layers > 1 or how.passes > 1 or how.pooling not in ("attention", "frames"):
        raise errors.UserError(
            "protocol: a bridge reads tokens of one view, one layer and one pass, got "
            f"{how.views} views, {how.layers} layers, {how.passes} passes and pooling={how.pooling!r}"
        )
    if tokens < 1 or batch_size < 1:
        raise errors.UserError(f"expected tokens and batch_size of at least 1, got {tokens} and {batch_size}")


def names(metrics: Sequence[text_metric.TextMetric], modes: Sequence[str], control: bool) -> tuple[str, ...]:
    """Return the names of the scores that can be computed, in the order of `scored`."""
    ends = ("", CONTROL) if control else ("",)
    return tuple(
        f"{metric.name}{mode}{end}"
        for mode in modes
        for metric in metrics
        if not metric.missing()
        for end in ends
    )


def facts(
    how: protocols.Protocol,
    settings: bridge_fit.Bridge,
    made: fitted.Fitted,
    tokens: training_pairs.Tokens,
    train: feature_set.Encoded,
    test: feature_set.Encoded,
) -> dict[str, Any]:
    """Return what belongs beside every score of a bridge."""
    losses = made.losses
    found: dict[str, Any] = {
        "protocol": how.summary(),
        "frames": how.frames,
        "views": 1,
        "pooling": f"{settings.latents} latents" + (", no video" if made.blind else ""),
        "language model": made.model.name,
        "parameters trained": made.numbers,
        "training steps": settings.steps,
        "training pairs": len(tokens.rows),
        "training loss": f"{np.mean(losses[:_ENDS]):.3f} -> {np.mean(losses[-_ENDS:]):.3f}",
        "missing": len(test.missing),
        **test.found.notes,
    }
    if tokens.cut:
        found["training pairs cut"] = tokens.cut
    if train.missing:
        reason = next(iter(train.missing.values()))
        found["train clips missing"] = f"{len(train.missing)} (first: {reason})"
    if test.missing:
        found["missing clips"] = dict(list(test.missing.items())[:20])
    return found


def scored(
    metrics: Sequence[text_metric.TextMetric],
    mode: str,
    said: Sequence[Said],
    right: Sequence[texts.Reference],
    shown: Sequence[Any] = (),
    chance: Sequence[str] | None = None,
) -> dict[str, task_interface.Score]:
    """Return a score for each metric that can be computed.

    Args:
        metrics: the metrics.
        mode: ending of their names, such as " (open)".
        said: the generated texts; a second entry is the control.
        right: the references.
        shown: examples, which are kept with the first score.
        chance: texts that ignore the video, whose score is the chance of the others; None for none.

    Raises:
        UserError: no metric can be computed.
    """
    lacking = "; ".join(f"{each.name}: {each.missing()}" for each in metrics if each.missing())
    able = [each for each in metrics if not each.missing()]
    if not able:
        raise errors.UserError(f"no score can be computed: {lacking}")
    lines = [(each.key, each.group) for each in right]
    found: dict[str, task_interface.Score] = {}
    for metric in able:
        made = [metric(each.texts, right) for each in said]
        guessed = {} if chance is None else {"chance": round(metric(chance, right).value, 4)}
        for number, (one, each) in enumerate(zip(made, said)):
            known = {**each.facts, **one.notes, **one.chance_fact(), **guessed}
            if number == 0 and len(made) > 1:
                known["no-video control"] = round(made[1].value, 6)
            if shown and not found:
                known["examples"] = list(shown)
            if lacking:
                known[NOT_COMPUTED] = lacking
            outcomes = item_outcomes.of_mean(one, lines)
            name = metric.name + mode + (CONTROL if number else "")
            found[name] = task_interface.Score(one.value, len(right), known, outcomes)
    return found
