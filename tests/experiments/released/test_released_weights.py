"""Released weights in gin files: as init_from, as teacher, as towers; and the worked files that use them."""

import jax
import numpy as np
import pytest
import small_models

from prismlab.core import errors, trees
from prismlab.core.train.checkpoints import checkpoint
from prismlab.core.weights import released
from prismlab.experiments import main
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.recipe.checks import check
from prismlab.experiments.released import released_weights

WORKED = [
    "adapt_frozen.gin",
    "adapt_mlap.gin",
    "adapt_adapter.gin",
    "adapt_finetune.gin",
    "continue_released_base.gin",
]
SMALL = ["FRAMES=4", "RESOLUTION=24", "HEADS=4", "WORLD_RESOLUTION=24", "TRAIN_CLIPS=16", "TEST_CLIPS=8"]
QUICK = {
    "adapt_frozen.gin": ["probe.AttentiveProbe.steps=2", "probe.AttentiveProbe.labels=('motion',)"],
    "adapt_mlap.gin": ["STEPS=2", "BATCH=4", "LAYERS=2"],
    "adapt_adapter.gin": ["STEPS=2", "BATCH=4"],
    "adapt_finetune.gin": ["STEPS=2", "BATCH=4"],
    "continue_released_base.gin": [
        "STEPS=2", "WARMUP_STEPS=1", "BATCH=4", "DECODER_HEADS=2", "DECODER_DIM=8", "DECODER_DEPTH=1",
        "DECODER_MLP=8", "probe.AttentiveProbe.steps=2", "probe.AttentiveProbe.labels=('motion',)",
    ],
}  # fmt: skip


def _bindings(tmp_path, name):
    model, weights = small_models.named(tmp_path, "video_encoder")
    given = [f"MODEL={model!r}", f"WEIGHTS={weights!r}", *SMALL, *QUICK[name]]
    if name.startswith("continue"):
        teacher = small_models.named(tmp_path, "video_text_pre")
        given += [f"TEACHER_MODEL={teacher[0]!r}", f"TEACHER_WEIGHTS={teacher[1]!r}"]
    return given


@pytest.mark.parametrize("name", WORKED)
def test_every_worked_file_passes_the_check(name, tmp_path):
    root = strict.load(name, _bindings(tmp_path, name)).root
    for each in root.experiments().values() if hasattr(root, "experiments") else [root]:
        built = check.abstract_stages(each)
        assert all(made.towers["video"].frames == 4 for made in built.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adapt_adapter.gin", "adapt_mlap.gin"])
def test_a_worked_file_runs(name, tmp_path):
    assert main.main(["train", name, *_bindings(tmp_path, name), "--workdir", str(tmp_path / "w")]) == 0
    assert "train clips per class" in (tmp_path / "w/table.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adapt_frozen.gin", "adapt_finetune.gin", "continue_released_base.gin"])
def test_the_other_worked_files_run(name, tmp_path):
    command = "ablate" if name.startswith("continue") else "train"
    assert main.main([command, name, *_bindings(tmp_path, name), "--workdir", str(tmp_path / "w")]) == 0


@pytest.mark.slow
def test_a_stage_starts_from_the_released_weights_bit_by_bit(tmp_path):
    name = "adapt_frozen.gin"
    # Without its evaluation, which test_the_other_worked_files_run has.
    of_evaluation = ("HEADS", "TEST_CLIPS", "probe.")
    given = [each for each in _bindings(tmp_path, name) if not each.startswith(of_evaluation)]
    given += ["recipe.Experiment.tasks={}"]
    assert main.main(["train", name, *given, "--workdir", str(tmp_path / "w")]) == 0
    (planned,) = stages.plan(strict.load(name, given).root, 0)
    _, found = checkpoint.read_learner(tmp_path / "w/stages" / planned.folder / "checkpoints")
    with np.load(small_models.GOLDEN / "video_encoder_params.npz") as archive:
        wanted = archive["params/temporal_encoder/transformers_stack/x_layers/self_attention/query/w"]
    np.testing.assert_array_equal(found["towers/video/encoder/temporal/blocks/attention/query/w"], wanted)
    assert len(found) == 40


def test_the_address_is_of_the_weights_and_not_of_their_place(tmp_path):
    model, weights = small_models.named(tmp_path, "video_encoder")
    other = tmp_path / "elsewhere.npz"
    other.write_bytes(small_models.GOLDEN.joinpath("video_encoder_params.npz").read_bytes())
    one, two = (released_weights.Released(model, str(path)) for path in (weights, other))
    assert one.digest() == two.digest() == trees.digest(one.arrays())
    changed = dict(np.load(other))
    changed["params/spatial_ln/bias"] = changed["params/spatial_ln/bias"] + 1
    np.savez(other, **changed)
    assert two.digest() != one.digest()


@pytest.mark.parametrize("field", ["WEIGHTS='absent.npz'", "MODEL='absent.json'", "MODEL='videoprism_huge'"])
def test_what_is_missing_is_told_by_check(field, tmp_path, capsys):
    given = [*_bindings(tmp_path, "adapt_frozen.gin"), field]
    assert main.main(["check", "adapt_frozen.gin", *given]) == 2
    told = capsys.readouterr().err
    assert "absent" in told or "videoprism_huge" in told
    assert "Traceback" not in told


def test_weights_of_another_model_are_told_by_check(tmp_path, capsys):
    _, weights = small_models.named(tmp_path, "video_classifier")
    given = [*_bindings(tmp_path, "adapt_frozen.gin"), f"WEIGHTS={weights!r}"]
    assert main.main(["check", "adapt_frozen.gin", *given]) == 2
    assert "video_classifier_params.npz" in capsys.readouterr().err


@pytest.mark.long
def test_towers_of_each_kind(tmp_path):
    for kind, parts in (
        ("video_encoder", (False, False)),
        ("video_classifier", (False, True)),
        ("video_text_pre", (True, True)),
    ):
        model, weights = small_models.named(tmp_path, kind)
        towers = released_weights.Released(model, weights).towers()
        assert (towers["video"].auxiliary is not None, towers["video"].pooler is not None) == parts
        assert ("text" in towers) == (kind == "video_text_pre")
        bare = released_weights.video_tower(model=model, use_pooler=False, key=jax.random.key(0))
        assert bare.pooler is None
        assert bare.resolution == 24
    assert released_weights.text_tower(model=model, key=jax.random.key(0)).vocabulary == 64
    encoder, _ = small_models.named(tmp_path, "video_encoder")
    with pytest.raises(errors.UserError, match="no text tower"):
        released_weights.text_tower(model=encoder, key=jax.random.key(0))


def test_random_weights_are_the_same_each_time(tmp_path):
    model, _ = small_models.named(tmp_path, "video_encoder")
    one, two = (trees.digest(trees.flatten(released_weights.load(model, None))) for _ in range(2))
    assert one == two
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(errors.UserError, match="JSON object"):
        released_weights.load(str(tmp_path / "list.json"), None)
    assert released_weights.configuration("videoprism_public_v1_base") in released.CONFIGS
