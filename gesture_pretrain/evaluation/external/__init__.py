"""Predictions files of other systems."""
