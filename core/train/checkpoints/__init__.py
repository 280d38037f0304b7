"""Checkpoints of a stage: save, verify, keep, restore, and read a stage's folder."""
