"""A cluster in virtual time: one thread, one heap of events, and everything drawn from the seed."""
