"""Where systems run: hosts, and the facets through which faults act on them."""
