"""Run the rows of an ablation as independent jobs: locally, under SLURM, on GKE or on TPU VMs.

`units` lists the units of work in order, `worker` leases and runs them; `local`, `slurm` and `gke` start
workers. Guides: local.md, slurm.md, gke.md, tpu_vm.md in this folder.
"""
