"""The tasks of an evaluation file as those of an experiment, so that an ablation scores any benchmark.

    recipe.Experiment.tasks = @evaluation_file.tasks()
    evaluation_file.tasks.file = 'eval/ava.gin'
    evaluation_file.tasks.bindings = ("VIDEOS='data/ava/videos'", ...)
    evaluation_file.tasks.beside = {'probe': %PROBE}

Included instead, a macro of the file (FRAMES, TEST, TOKENIZER) would change the training that has the same.
"""

from collections.abc import Mapping, Sequence

from prismlab.core import errors
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.tasks import task
from prismlab.experiments.tasks.evaluations import evaluation


def tasks(
    *, file: str, bindings: Sequence[str] = (), beside: Mapping[str, task.Task] | None = None
) -> Mapping[str, task.Task]:
    """Return the tasks of a gin file that `prismlab eval` runs, read apart from the file that names it.

    Args:
        file: gin file, or the name of a shipped one, such as "eval/ava.gin".
        bindings: of that file, as on the command line: "VIDEOS='data/ava/videos'".
        beside: further tasks by name, placed first. To combine several files, pass the tasks of one as
            `beside` of the next.

    Raises:
        UserError: the file is wrong or a binding is missing, or two tasks have one name.
    """
    own = strict.load(file, list(bindings), (evaluation.Evaluation,)).root.tasks
    first = dict(beside or {})
    both = sorted({*own} & {*first})
    if both:
        raise errors.UserError(
            f"{file}: expected names of its own for its tasks, found {both[0]!r} beside it"
        )
    return {**first, **own}
