"""The report of a study: a page, and its tables as files."""
