"""Configuration classes Stage, Experiment and Ablation, and static checks that need no device."""
