"""Which rows of an index a run trains on and which it validates on."""
