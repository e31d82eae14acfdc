"""The reference Raft: a sans-IO core, its log, its store and the service that the shell runs."""
