"""The parts of the checkers of fresh reads: regularity, and how stale reads are."""
