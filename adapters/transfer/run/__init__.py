"""Running the cells of a plan, here or on a cluster."""
