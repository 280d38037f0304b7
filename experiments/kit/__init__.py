"""Kit for components of users: contracts, hypothesis strategies, a pytest plugin, files to start from."""
