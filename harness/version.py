"""Which version this is, for whoever cannot ask the whole package."""

__version__ = "0.1.0"
