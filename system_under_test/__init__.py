"""Systems under test: the reference nodes and the controller side of each system."""
