"""Configuration classes Stage, Experiment and Ablation, with their rows, scales and interfaces."""
