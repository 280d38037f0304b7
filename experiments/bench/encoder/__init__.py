"""Speed and memory of the encoder: ours against transformers, plain against fused attention."""
