"""Error of a dataset on disk."""


class DataError(ValueError):
    """The files of a dataset are missing, damaged, or inconsistent with their description.

    The message names the file, says what was expected, and what to do.
    """


class IndexFormatError(DataError):
    """A folder is not an index, is of another format version, or its columns were changed."""
