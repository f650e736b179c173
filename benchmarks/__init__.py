"""Measurements; run from the repository root."""
