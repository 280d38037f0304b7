"""What `prismlab data show` draws is what the step computes with."""

import contextlib
import io
import json

import cli
import numpy as np
import pytest
from PIL import Image

from prismlab.core import keys
from prismlab.core.train import masking
from prismlab.data.loader import loader
from prismlab.experiments import main
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.results import step_picture
from prismlab.experiments.store import work_directory


def call(*words: object) -> tuple[int, str, str]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main.main(["data", "show", cli.TINY, *map(str, words)])
    return code, out.getvalue(), err.getvalue()


def test_a_step_is_drawn_with_frames_masks_and_origin(tmp_path):
    code, told, err = call("--stage", "stage2", "--step", 3, "--out", tmp_path)
    assert code == 0, err
    found = json.loads((tmp_path / "step-3.json").read_text())
    experiment = strict.load(cli.TINY, []).root
    stage = next(each for each in experiment.stages if each.name == "stage2")
    stream = stage.data.open(
        stage.batch_size, stage.steps, experiment.seed, 1, work_directory.default_cache()
    )
    assert found["checksum"] == loader.checksum(stream.batch(3))
    assert found["checksum"] in told
    assert [each["clip"] for each in found["examples"]] == stream.seen(3)[1].clips.tolist()
    picture = Image.open(tmp_path / "step-3.png")
    assert (
        picture.size[1] > stage.batch_size * 2 * step_picture.SIDE
    )  # a row of frames and one of masks an example
    (hidden,) = found["examples"][0]["visible"].values()
    assert len(hidden) < found["frames"] * found["patches"]


def test_masks_are_those_of_the_training_step(monkeypatch):
    """The step's own masks are caught while it runs, and must be the ones that are drawn."""
    import functools

    import tiny

    from prismlab.core.train import learner, optim
    from prismlab.core.train.steps import step
    from prismlab.objectives import contrastive

    plain = masking.sample_batch

    class Caught(Exception):
        """Carries the masks out of the step, whose rest is of no interest here."""

    def spy(*args, key, **more):
        raise Caught(plain(*args, key=key, **more))

    made = {"contrastive": functools.partial(contrastive.Contrastive, drop=masking.Tube(0.5))}
    built = learner.build(tiny.QUICK, made, None, key=keys.seeded(0))
    drawn = step_picture.masks_of(
        built.views(), position=1, seed=5, step=2, batch=4, frames=tiny.FRAMES, patches=tiny.PATCHES
    )
    optimizer = optim.AdamW(optim.Schedule(1e-3, 1)).build(4)
    state = step.init(built, optimizer, (), key=keys.seeded(5, "train", 1))
    state = step.TrainState(state.step + 2, state.learner, state.opt_state, state.key)
    monkeypatch.setattr(masking, "sample_batch", spy)
    with pytest.raises(Caught) as caught:
        step.train_step(state, step.HostBatch(**tiny.host_batch()), None, optimizer)
    (grid,) = drawn.values()
    assert np.array_equal(np.asarray(masking.visible_grid(caught.value.args[0], tiny.TOKENS)), grid)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--stage", "stage9", "--step", 0), "expected one of the stages ['stage1', 'stage2']"),
        (("--stage", "stage1", "--step", 4), "has steps 0 to 3"),
    ],
)
def test_a_step_that_is_not_there(tmp_path, words, told):
    code, _, err = call(*words, "--out", tmp_path)
    assert code == 2
    assert told in err
    assert not list(tmp_path.iterdir())
