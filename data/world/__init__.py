"""Synthetic video dataset: procedurally rendered clips with captions and ground truth."""
