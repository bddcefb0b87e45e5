"""The training engine shared by all stages."""
