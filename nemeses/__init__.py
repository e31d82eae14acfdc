"""Nemeses: what can be broken, one file a family of faults."""
