"""Errors of stored weights."""


class WeightsError(ValueError):
    """A card or a weight file is missing, damaged, modified, or does not fit the network."""
