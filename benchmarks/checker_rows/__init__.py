"""The rows of the checkers' benchmark, a file a guarantee."""
