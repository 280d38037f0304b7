"""Running an experiment: the engine, work directories, leases and input feed."""
