"""Porcupine in a process of its own: the Go program, how it is built, and how it is asked."""
