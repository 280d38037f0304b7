"""Readers of data sets of localisation: segments of untrimmed videos, boxes at keyframes."""
