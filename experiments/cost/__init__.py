"""Analytic cost of a training step: FLOPs, memory and roofline bounds per chip."""
