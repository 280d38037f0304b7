"""Evaluation interface: a task takes trained towers and returns named scores, each with its protocol."""

from prismlab.experiments.recipe import task_interface

# Re-exported for authors of tasks; recipes hold tasks by this interface.
Score = task_interface.Score
Task = task_interface.Task
