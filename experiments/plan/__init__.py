"""Planning: what a recipe needs on a machine that nobody has booked yet.

`topology` names machines, `chips` what they can do; `flops` and `memory` read a training step as a graph,
`hlo` reads what the TPU compiler made of it; `roofline` turns both into time, `table` into words.
"""
