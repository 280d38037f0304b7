"""Stage, Experiment and Ablation: what a gin file describes, and checks without a device."""
