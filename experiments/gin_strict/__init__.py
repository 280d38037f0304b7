"""Strict gin: parse files, resolve bindings and report every error with its line."""
