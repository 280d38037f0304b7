"""A recipe starts its video tower from the image encoder of CLIP, by bindings alone."""

import pathlib

import cli
import clip_files

from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe.addresses import fingerprints
from prismlab.experiments.recipe.checks import check

# As the head of paper/image_starts.gin says it, for the sizes of the file.
STARTS = """
from prismlab.core.weights import image_clip
video.VideoTower.encoder = @image_clip.started
image_clip.started.encoder = @video_encoder.FactorizedVideoEncoder
image_clip.started.weights = '{weights}'
image_clip.started.config = '{config}'
video_encoder.FactorizedVideoEncoder.atten_logit_cap = 0.0
presets.Size.mlp_dim = 12
presets.Size.spatial_layers = 2
video_encoder.FactorizedVideoEncoder.patch = 2
"""


def test_a_recipe_names_weights_and_configuration(tmp_path):
    made = clip_files.transformers_arrays()
    files = clip_files.saved(tmp_path, made, clip_files.transformers_config())
    text = pathlib.Path(cli.TINY).read_text(encoding="utf-8")
    own = STARTS.format(**files)
    replaced = {line.partition(" = ")[0] for line in own.splitlines() if " = " in line}
    lines = [line for line in text.splitlines() if line.partition(" = ")[0] not in replaced]
    (tmp_path / "starts.gin").write_text("\n".join(lines) + own, encoding="utf-8")
    root = strict.load(str(tmp_path / "starts.gin")).root
    check.abstract_stages(root)
    found = fingerprints.Fingerprints(tmp_path / "cache").data(root.stages[0].towers)
    assert set(found) == {"video.encoder.weights", "video.encoder.config"}
