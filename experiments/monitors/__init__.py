"""Monitors of training: what the features of an encoder look like every N steps, and an alarm of collapse."""
