"""Stores and work directories: stages and evaluations by address, leases, pins and garbage collection."""
