"""Engines that run the units of an ablation: Dask, SLURM, GKE."""
