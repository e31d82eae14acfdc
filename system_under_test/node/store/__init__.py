"""The reference store: a sans-IO core of parts, its storage and the service that the shell runs."""
