"""Runs the gate as a program of its own."""

from __future__ import annotations

import sys

from splitbrain.cluster.user_namespace import ensure_root
from splitbrain.gate.command import entry

if __name__ == "__main__":
    ensure_root()  # without root the program begins anew in a user namespace
    sys.exit(entry())
