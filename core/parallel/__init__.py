"""Device mesh, sharding rules, multi-host initialization and heartbeat."""
