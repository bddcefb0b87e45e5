"""What can be wrong with stored weights."""


class WeightsError(ValueError):
    """A card or a file of weights is missing, damaged, changed, or does not fit the network.

    The message names the file, what is wrong with it, and what to do.
    """
