"""What replicas of a store leave as evidence: dumps and traces, as docs/store.md has them."""
