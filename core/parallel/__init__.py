"""Devices and processes: the mesh, sharding rules, multi-host start-up and heartbeat."""
