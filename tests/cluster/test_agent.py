"""The program that stays on a node: its answers, its refusals, its end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from splitbrain.cluster.agent import NodeRefusedError, agent_files, ask
from splitbrain.core.errors import RemoteError

pytestmark = pytest.mark.embedded


@pytest.fixture
def host(one):
    return one.host("n1")


def serving(host):
    """Give the ids of the program's processes, the watchdog apart."""
    found = host.run(["pgrep", "-x", "python3"], check=False).stdout.split()
    watchdog = host.run(["sh", "-c", "tr -dc '0-9,' < /run/splitbrain/watchdog.json"]).stdout
    return set(found) - {watchdog.split(b",")[0]}


def test_it_stays_and_answers_many_threads(host):
    ask(host, "running", {"names": []})
    before = serving(host)
    assert len(before) == 1
    with ThreadPoolExecutor(10) as pool:
        asked = [[f"d{n}"] for n in range(50)]
        answers = list(pool.map(lambda names: ask(host, "running", {"names": names}), asked))
    assert answers == [{f"d{n}": False} for n in range(50)]
    assert before <= serving(host)  # beside it, perhaps, the child of the last answer


def test_it_is_started_again_when_it_died(host):
    ask(host, "running", {"names": []})
    for pid in serving(host):
        host.run(["kill", "-9", pid.decode()])
    host.run(["true"])  # by now the end of the channel has arrived, which the connection orders
    try:
        answer = ask(host, "running", {"names": ["x"]})
    except RemoteError:  # asked while it was dying: said, and not repeated
        answer = ask(host, "running", {"names": ["x"]})
    assert answer == {"x": False}


def test_what_it_refuses_is_said_in_one_line_and_it_goes_on(host):
    with pytest.raises(NodeRefusedError, match=r"^n1: cut: nft: ") as caught:
        ask(host, "cut", {"chain": "layer_bad", "addresses": ["no address"]})
    assert caught.value.why.startswith("nft: ")
    assert "\n" not in str(caught.value)
    with pytest.raises(NodeRefusedError, match=r"^n1: nonsense: KeyError: 'nonsense'$"):
        ask(host, "nonsense", {})
    ask(host, "heal", {})
    assert ask(host, "running", {"names": []}) == {}


def test_an_answer_that_is_late_is_an_error_and_is_not_taken_for_the_next(host):
    slow = {
        "daemons": [
            {
                "name": "slow",
                "argv": ["/bin/sleep", "1000"],
                "env": {},
                "data_dirs": [],
                "ready_port": None,
                "ready_line": "never",
                "ready_timeout_s": 2.0,
            }
        ],
        "addresses": ["127.0.0.1"],
        "wait": True,
    }
    with pytest.raises(RemoteError, match=r"^n1: start: timed out after 0\.3 s$"):
        ask(host, "start", slow, timeout_s=0.3)
    assert ask(host, "running", {"names": ["slow"]}) == {"slow": True}
    ask(host, "kill", {"names": ["slow"]})


def test_daemons_and_watchdog_belong_to_the_first_process(host):
    spec = {
        "name": "child",
        "argv": ["/bin/sleep", "1000"],
        "env": {},
        "data_dirs": [],
        "ready_port": None,
        "ready_line": None,
        "ready_timeout_s": 1.0,
    }
    started = ask(host, "start", {"daemons": [spec], "addresses": [], "wait": False})
    watchdog = ask(host, "prepare", {"lease_s": 15})["watchdog"]
    for pid in (started["child"], watchdog):
        assert host.run(["ps", "-o", "ppid=", "-p", str(pid)]).stdout.strip() == b"1"
    ask(host, "kill", {"names": ["child"]})


def test_every_module_of_it_is_shipped_and_stands_on_the_standard_library_alone():
    files = agent_files()
    assert {"on_node/__init__.py", "on_node/program.py", "on_node/watchdog.py"} <= set(files)
    for name, text in files.items():
        assert b"splitbrain." not in text.replace(b'"inet splitbrain"', b""), name
