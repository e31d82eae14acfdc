"""Makes failing runs small: fewer faults, operations and nodes, and the same anomaly."""
