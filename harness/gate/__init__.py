"""The gate: every planted bug is found, and what is correct stays clean.

`python -m splitbrain.gate` carries out many runs and keeps what came out, so that it goes on where
it stopped as long as neither the sources nor a run's plan change.
"""
