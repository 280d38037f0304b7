"""The commands of `prismlab`, one a file; `prismlab.experiments.main` finds them by walking this package.

A command is a module with `NAME` (the words after `prismlab`; in a group, as "data prepare", two),
`HELP`, `arguments(parser)` and `run(options) -> exit code`. What is slow to import is imported inside `run`.
"""
