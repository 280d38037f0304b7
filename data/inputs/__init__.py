"""Kinds of raw input that `prismlab data prepare` reads, one a file.

An input is a frozen dataclass with `units()`, which yields numbered pieces of work, each to become one shard,
and `read(unit)`, which yields what a unit holds. Its repr is its identity, so every field is a plain value.
"""
