"""The rendered video world: synthetic clips with captions and ground truth."""
