"""What a run reports as it trains: event log, TensorBoard mirror, telemetry, and signals that stop it."""
