"""Plans: what is compared, checked, audited and turned into training runs."""
