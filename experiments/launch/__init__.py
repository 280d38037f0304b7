"""Run the units of an ablation (stages to train, rows to evaluate) on an engine that schedules them.

`units` lists the units with what each needs, `executor` is the seam to the engines, and `unit_run` runs one
(`prismlab run-unit`), which each engine starts. Engines: `local` and `dask` (Dask), `slurm` (submitit), `gke`
(Argo Workflows, or JobSets of workers that lease units, `worker`). Guides: local.md, slurm.md, gke.md and
tpu_vm.md in this folder.
"""
