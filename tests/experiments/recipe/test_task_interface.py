"""Tasks that read texts take the tokenizer of the stage that they evaluate, unless they name one."""

import cli
import pytest

from prismlab.data.loader import tokenizer
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import task_interface
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.tasks import multiple_choice, probe, retrieval, zero_shot
from prismlab.experiments.tasks.readers import captioned_source
from prismlab.experiments.tasks.readers.rendered_world import rendered

BASE = strict.load(cli.QUICK).root
HOME = BASE.stages[0].data.sources["clean"]
OWN = BASE.stages[0].data.tokenizer
OTHER = tokenizer.Tokenizer((HOME,), vocabulary=48, length=4)
READING = {
    "retrieval": retrieval.Retrieval(captioned_source.CaptionedSource(HOME)),
    "classes": zero_shot.ZeroShot(rendered.RenderedWorld(HOME, HOME)),
    "choices": multiple_choice.MultipleChoice(rendered.RenderedWorld(HOME, HOME, options=2)),
}


@pytest.mark.parametrize("name", READING)
def test_the_tokenizer_is_that_of_the_stage(name):
    (planned, _) = stages.plan(BASE, 0)
    (found,) = stages.evaluations(planned, {name: READING[name]})
    assert found.task.tokenizer == OWN
    assert found.inputs["configuration"]["tokenizer"]["length"] == OWN.length


def test_a_tokenizer_that_the_task_names_stays():
    said = retrieval.Retrieval(captioned_source.CaptionedSource(HOME), OTHER)
    assert task_interface.for_encoder(said, OWN) is said
    assert task_interface.for_encoder(READING["retrieval"], None) is READING["retrieval"]


def test_what_reads_no_texts_stays():
    seen = probe.AttentiveProbe(HOME, HOME)
    assert task_interface.for_encoder(seen, OWN) is seen
