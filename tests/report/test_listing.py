"""The tables of `splitbrain list` and `splitbrain doctor`."""

from __future__ import annotations

from splitbrain.report.listing import show_doctor, show_listing

COMMAND = "apt-get install --no-install-recommends openssh-server nftables iproute2 util-linux"


def test_a_listing(samples):
    console = samples.plain_console(60)
    show_listing(
        console,
        "nemeses",
        {
            "kill": "kills daemons with SIGKILL and starts them",
            "partition": "cuts the network: halves, one node, rings, bridges, one way",
        },
    )
    assert samples.written(console).splitlines() == [
        "nemeses",
        "  kill       kills daemons with SIGKILL and starts them",
        "  partition  cuts the network: halves, one node, rings,",
        "             bridges, one way",
    ]


def test_an_empty_listing_says_so(samples):
    console = samples.plain_console()
    show_listing(console, "bugs", {})
    assert samples.written(console) == "bugs\n  none\n"


def test_the_doctor_gives_commands_that_can_be_copied(samples):
    console = samples.plain_console(50)
    show_doctor(
        console,
        [
            ("embedded", "OK", []),
            ("vagrant", "MISSING", [("there is no sshd", COMMAND), ("no /dev/kvm", "")]),
        ],
    )
    assert samples.written(console).splitlines() == [
        "embedded  OK",
        "vagrant   MISSING",
        "  there is no sshd",
        f"    → {COMMAND}",
        "  no /dev/kvm",
    ]


def test_hostile_rows_are_only_shown(samples):
    for console in (samples.plain_console(), samples.ascii_console()):
        show_listing(console, "[b]t\x1b", {"[red]n\n": "\x1b[2J\u202e …"})
        show_doctor(console, [("[red]c\x1b", "[b]", [("\x1b[2J", "rm\n-rf\u202e")])])
        text = samples.written(console)
        assert not set(text) & set("\x1b\u202e")
        assert "[red]n\\n" in text
        assert "rm\\n-rf" in text
