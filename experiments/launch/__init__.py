"""Running the rows of an ablation as independent jobs: here, under SLURM, on GKE, on TPU VMs.

`units` says what there is to do and in which order, `claims` who does it, `worker` does it; `local`, `slurm`
and `gke` start workers. The pages beside the code (local.md, slurm.md, gke.md, tpu_vm.md) show how.
"""
