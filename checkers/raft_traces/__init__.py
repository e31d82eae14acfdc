"""The parts of the checker `raft`: what traces tell of each node's log, and of all together."""
