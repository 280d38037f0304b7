"""Towers without a Transformer, as gin files of tests name them."""

from prismlab.experiments.kit import quick_towers

Patches = quick_towers.Patches
Words = quick_towers.Words
