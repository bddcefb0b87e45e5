"""Predictions on disk, protocols, metrics, and scores that carry their protocol."""
