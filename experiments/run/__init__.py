"""Running an experiment: the engine, rows, initial states, batches and monitors of its stages."""
