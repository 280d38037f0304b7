"""Plan a recipe for hardware that is not available locally: memory, step time and cost of each stage.

`topology` parses machine names, `compiled` runs the TPU compiler ahead of time, `hlo` reads memory traffic
and collectives from its output, `stage_plan` combines both with the estimates of `experiments.cost`, and
`plan_tables` formats the result.
"""
