"""Recipes, the ablation engine, evaluations, reports and the command line."""
