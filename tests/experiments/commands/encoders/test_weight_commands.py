"""`models`, `convert` and `inspect` through the command line."""

import itertools
import json
import pathlib

import numpy as np
import pytest

from prismlab.core.weights import released
from prismlab.experiments import main

GOLDEN = pathlib.Path(__file__).parents[3] / "golden"
ENCODER = {
    "kind": "video_encoder",
    "patch_size": 6,
    "pos_emb_shape": [4, 4, 4],
    "model_dim": 32,
    "num_spatial_layers": 2,
    "num_temporal_layers": 2,
    "num_heads": 4,
    "mlp_dim": 64,
    "atten_logit_cap": 50.0,
}
SOURCE = GOLDEN / "video_encoder_params.npz"


def test_models_lists_every_public_model(capsys):
    assert main.main(["models"]) == 0
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if line.strip().startswith("videoprism_public_v1_base"))
    for word in ("114,365,184", "16", "288", "4096", "google/videoprism-base-f16r288", "Apache-2.0"):
        assert word in row
    assert "flax_base_f16r288_repeated.npz" in row
    assert sum(line.strip().startswith("videoprism") for line in printed.splitlines()) == len(
        released.CONFIGS
    )


def test_convert_goes_round_and_a_bundle_knows_what_it_is(tmp_path, capsys):
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(ENCODER))
    steps = [SOURCE, tmp_path / "hf" / "model.safetensors", tmp_path / "a.bundle", tmp_path / "b.npz"]
    for source, destination in itertools.pairwise(steps):
        model = [] if source.suffix == ".bundle" else ["--model", str(config)]
        assert main.main(["convert", str(source), str(destination), *model]) == 0
    assert "written:" in capsys.readouterr().out
    with np.load(SOURCE) as before, np.load(steps[-1]) as after:
        assert set(before.files) == set(after.files)
        for name in before.files:
            np.testing.assert_array_equal(before[name], after[name])


def test_inspect_tells_names_shapes_norms_and_what_is_not_finite(tmp_path, capsys):
    with np.load(SOURCE) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["params/spatial_ln/scale"][3] = np.nan
    np.savez(tmp_path / "x.npz", **arrays)
    assert main.main(["inspect", str(tmp_path / "x.npz")]) == 0
    printed = capsys.readouterr().out
    norm = np.linalg.norm(arrays["params/spatial_ln/bias"].astype(np.float64))
    row = next(line for line in printed.splitlines() if line.strip().startswith("params/spatial_ln/bias"))
    assert row.split() == ["params/spatial_ln/bias", "32", "float32", f"{norm:.6g}"]
    assert "not finite: params/spatial_ln/scale" in printed
    assert "40 arrays" in printed
    assert "fits: no preset" in printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["inspect", "absent.npz"], "no file at"),
        (["convert", str(SOURCE), "a.bundle"], "specify the model"),
        (["convert", str(SOURCE), "a.bundle", "--model", "absent.json"], "cannot be read as JSON"),
        (["convert", str(SOURCE), "a.bundle", "--model", "videoprism_v2"], "must be one of"),
    ],
)
def test_mistakes_are_one_clear_line(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main.main(words) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "a.bundle").exists()
