"""The reference Raft's planted bugs, each with the schedule that leads to it.

A bug may switch off what masks it, and set timers of single nodes; each says so.
"""

from __future__ import annotations

from splitbrain.system_under_test.systems.raft_election_bugs import ELECTION_BUGS
from splitbrain.system_under_test.systems.raft_log_bugs import LOG_BUGS
from splitbrain.system_under_test.systems.raft_member_bugs import MEMBER_BUGS
from splitbrain.system_under_test.systems.raft_read_bugs import READ_BUGS

BUGS = (*READ_BUGS, *ELECTION_BUGS, *LOG_BUGS, *MEMBER_BUGS)
