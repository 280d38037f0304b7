"""Captions and answers from frozen features: a trained bridge into a frozen language model."""
