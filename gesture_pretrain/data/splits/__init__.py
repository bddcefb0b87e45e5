"""Select the training and validation rows of a run."""
