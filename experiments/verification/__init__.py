"""Verification of results: certificates found by path, stored bits, and steps trained again."""
