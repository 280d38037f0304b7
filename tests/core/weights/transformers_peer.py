"""Run by the scratch environment of test_transformers.py: it has torch and transformers, nothing of ours.

python transformers_peer.py load FOLDER INPUTS.npz OUTPUTS.npz
python transformers_peer.py slopes FOLDER INPUTS.npz OUTPUTS.npz
python transformers_peer.py make KIND FOLDER INPUTS.npz OUTPUTS.npz
"""

import json
import sys

import numpy as np
import torch
import transformers

VISION = dict(
    image_size=24, num_frames=4, tubelet_size=[1, 6, 6], hidden_size=32, num_attention_heads=4,
    intermediate_size=128, num_spatial_layers=2, num_temporal_layers=2, num_auxiliary_layers=1,
)  # fmt: skip
TEXT = dict(vocab_size=64, hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)


def _made(kind):
    torch.manual_seed(0)
    vision = transformers.VideoPrismVisionConfig(**VISION)
    if kind == "video_encoder":
        model = transformers.VideoPrismVisionModel._from_config(vision, attn_implementation="eager")
    else:
        text = transformers.VideoPrismTextConfig(**TEXT)
        config = transformers.VideoPrismConfig(vision_config=vision.to_dict(), text_config=text.to_dict())
        model = transformers.VideoPrismClipModel._from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():  # zeros would hide what is left out
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def _outputs(model, inputs):
    video = torch.from_numpy(inputs["video"]).permute(0, 1, 4, 2, 3)
    with torch.no_grad():
        if isinstance(model, transformers.VideoPrismVisionModel):
            return {"embeddings": model(video).last_hidden_state.numpy()}
        ids = torch.from_numpy(inputs["text_token_ids"]).long()
        mask = torch.from_numpy(1.0 - inputs["text_paddings"]).long()
        out = model(video, ids, attention_mask=mask)
        return {
            "video_embeddings": out.video_embeds.numpy(),
            "text_embeddings": out.text_embeds.numpy(),
        }


def _slopes(model, inputs):
    video = torch.from_numpy(inputs["video"]).permute(0, 1, 4, 2, 3)
    model(video).last_hidden_state.sin().sum().backward()
    return {name: each.grad.numpy() for name, each in model.named_parameters()}


def main():
    """Load or make a model, run it, write what it gives: outputs, or gradients of their summed sines."""
    order, *words = sys.argv[1:]
    inputs = dict(np.load(words[-2], allow_pickle=False))
    if order == "make":
        model = _made(words[0]).eval()
        model.save_pretrained(words[1])
    else:
        with open(f"{words[0]}/config.json", encoding="utf-8") as file:
            name = json.load(file)["architectures"][0]
        model, told = getattr(transformers, name).from_pretrained(
            words[0], attn_implementation="eager", output_loading_info=True
        )
        faults = {key: value for key, value in told.items() if value}
        assert not faults, faults
        model.eval()
    np.savez(words[-1], **(_slopes if order == "slopes" else _outputs)(model, inputs))


if __name__ == "__main__":
    main()
