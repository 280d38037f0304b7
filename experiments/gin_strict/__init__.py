"""Strict gin: parse files, resolve bindings and report every fault with its line."""
