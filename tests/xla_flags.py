"""XLA flags with which the programs of tests compile in less than half of the time; they run slower.

Each is one of jaxlib 0.10: XLA ends a process at a flag that it does not know.
"""

import importlib.metadata

FAST = (
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    if importlib.metadata.version("jaxlib").startswith("0.10.")
    else ""
)
