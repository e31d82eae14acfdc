"""Generators: values that say which operation comes next."""
