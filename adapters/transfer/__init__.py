"""The transfer experiment: a plan of arms, targets, label fractions and seeds, run cell by cell."""
