"""transformers loads what we save and we load what it saves: the same numbers, in a scratch environment.

`PRISMLAB_PEER_PYTHON` may name the interpreter of an environment that has torch and transformers >= 5.15
already; without it one is made, which takes minutes and gigabytes.
"""

import os
import pathlib
import subprocess
import sys

import equinox as eqx
import golden_models
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core.weights import release_config, released, weight_formats

PEER = pathlib.Path(__file__).with_name("transformers_peer.py")
# What transformers_peer.py makes.
MADE = {
    "video_encoder": {**golden_models.CONFIGS["video_encoder"], "mlp_dim": 128},
    "video_text": golden_models.CONFIGS["video_text_pre"],
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    given = os.environ.get("PRISMLAB_PEER_PYTHON")
    if given:
        return given
    home = tmp_path_factory.mktemp("peers")
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    own = str(home / "bin" / "python")
    subprocess.run([own, "-m", "pip", "install", "--quiet", "torch", "transformers>=5.15"], check=True)
    return own


def _ask(python, *words):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([python, str(PEER), *map(str, words)], check=True, env=environment)


def _read(path):
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.parametrize("case", ["video_encoder", "video_text_pre"])
def test_transformers_loads_what_we_save(case, python, tmp_path):
    model = released.load(golden_models.CONFIGS[case], golden_models.parameters(case))
    released.save(model, tmp_path / "model.safetensors")
    inputs = golden_models.inputs_and_outputs(case)
    _ask(python, "load", tmp_path, inputs, tmp_path / "out.npz")
    # The golden outputs are those of the official Flax code, which ours reproduce: all three agree.
    golden = _read(inputs)
    for name, value in _read(tmp_path / "out.npz").items():
        np.testing.assert_allclose(value, golden[name], atol=1e-4)


@pytest.mark.parametrize("remat", ["nothing_saveable", "none"])
def test_gradients_of_every_array_are_those_of_transformers(remat, python, tmp_path):
    config = release_config.checked(golden_models.CONFIGS["video_encoder"])
    model = released.load(config.plain(), golden_models.parameters("video_encoder"), remat=remat)
    released.save(model, tmp_path / "model.safetensors")
    inputs = golden_models.inputs_and_outputs("video_encoder")
    _ask(python, "slopes", tmp_path, inputs, tmp_path / "slopes.npz")
    theirs, video = _read(tmp_path / "slopes.npz"), jnp.asarray(_read(inputs)["video"])
    loss = lambda model: jnp.sum(jnp.sin(released.encode_video(model, video)[0]))
    ours = weight_formats.arrays(
        weight_formats.HUGGING_FACE, config, eqx.filter_jit(eqx.filter_grad(loss))(model)
    )
    assert theirs.keys() == ours.keys()
    for name, wanted in theirs.items():
        got = ours[name].reshape(wanted.shape)
        # A shift of all keys moves the logits of a query alike, so that the gradient of a key's bias is a sum
        # of terms of the size of the query's that cancel, but for the logit cap.
        size = np.linalg.norm(theirs[name.replace("k_proj.bias", "q_proj.bias")])
        assert np.linalg.norm(got - wanted) <= 1e-4 * size, name


@pytest.mark.parametrize("kind", MADE)
def test_we_load_what_transformers_saves(kind, python, tmp_path):
    case = "video_encoder" if kind == "video_encoder" else "video_text_pre"
    inputs = _read(golden_models.inputs_and_outputs(case))
    _ask(python, "make", kind, tmp_path, golden_models.inputs_and_outputs(case), tmp_path / "out.npz")
    theirs = _read(tmp_path / "out.npz")
    model = released.load(MADE[kind], tmp_path)
    video = jnp.asarray(inputs["video"])
    if kind == "video_encoder":
        np.testing.assert_allclose(released.encode_video(model, video)[0], theirs["embeddings"], atol=1e-4)
        return
    seen, read = released.embed(
        model, video, jnp.asarray(inputs["text_token_ids"]), jnp.asarray(inputs["text_paddings"])
    )
    np.testing.assert_allclose(seen, theirs["video_embeddings"], atol=1e-4)
    np.testing.assert_allclose(read, theirs["text_embeddings"], atol=1e-4)
