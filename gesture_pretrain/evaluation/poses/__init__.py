"""Predicted poses, evaluation protocols and scores."""
