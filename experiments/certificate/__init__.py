"""Certificates: what a stage, a score or a table was made of, in `certificate.json` beside it."""
