"""The exception for data that is missing, damaged, or not what it should be."""


class DataError(ValueError):
    """The images cannot be had as asked; the message says what was found and what to do."""
