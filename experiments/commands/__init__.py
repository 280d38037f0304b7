"""Commands of `prismlab`, one a file, discovered by `experiments/main.py`.

A command is a module with `NAME` (the words after `prismlab`; in a group, as "data prepare", two),
`HELP`, `arguments(parser)` and `run(options) -> exit code`. Slow imports are inside `run`.
"""
