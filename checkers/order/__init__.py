"""What the checkers of registers by session share: reads-from, program order, causal clocks."""
