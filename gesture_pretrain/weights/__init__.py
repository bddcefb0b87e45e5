"""Stored weights: export, registration by name, loading, and use as initial weights."""
