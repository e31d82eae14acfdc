"""Workloads: what clients do, and which guarantees it puts to the test."""
