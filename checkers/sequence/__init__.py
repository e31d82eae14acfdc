"""The parts of the checker `sequential`: single keys, guesses at an order, and the search."""
