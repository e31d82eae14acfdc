"""Checkers: one file a guarantee; each a pure function from evidence to a verdict."""
