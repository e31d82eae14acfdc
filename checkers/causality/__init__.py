"""The parts of the checker `causal`: what must not be, and how it is explained."""

CAUSAL_MODELS = ("cc", "ccv", "cm")
"""Causal consistency, causal convergence, causal memory."""
