"""What runs a test: the interpreter, the scheduler, the lifecycle and the store."""
