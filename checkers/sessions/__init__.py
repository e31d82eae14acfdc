"""The parts of the four session guarantees: which write is newer, and what a session has seen."""
