"""Scores and comparisons of the finished cells of a plan."""
