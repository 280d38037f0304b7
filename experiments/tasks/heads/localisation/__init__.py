"""Heads of localisation: actions in boxes at keyframes, and segments of untrimmed videos."""
