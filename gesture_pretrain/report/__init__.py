"""Reports: one self-contained HTML file with the numbers and the figures."""
