"""A jump host whose connection died is entered anew, once, and only then."""

from __future__ import annotations

import paramiko
import pytest

from splitbrain.cluster.login import JumpError, JumpHost
from splitbrain.cluster.ssh import Endpoint

KEY = paramiko.ECDSAKey.generate()
GATE = Endpoint(node="gate", address="10.0.0.1", host_key=KEY, client_key=KEY)
TARGET = Endpoint(node="n1", address="10.0.0.2", host_key=KEY, client_key=KEY)


class Transport:
    """A connection that opens channels, dies when it is asked to, or refuses and lives on."""

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour
        self.active = True
        self.opened = 0

    def is_active(self) -> bool:
        return self.active

    def open_channel(self, *arguments: object, timeout: float) -> str:
        self.opened += 1
        if self.behaviour == "dies":
            self.active = False
            raise EOFError
        if self.behaviour == "refuses":
            message = "Administratively prohibited"
            raise paramiko.SSHException(message)
        return "channel"


def gate(monkeypatch: pytest.MonkeyPatch, *behaviours: str) -> tuple[JumpHost, list[Transport]]:
    transports = [Transport(behaviour) for behaviour in behaviours]
    waiting = iter(transports)
    monkeypatch.setattr("splitbrain.cluster.login.authenticated", lambda *arguments: next(waiting))
    return JumpHost(
        GATE, lambda endpoint, timeout_s: pytest.fail("nobody connects here")
    ), transports


def test_a_dead_connection_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    host, transports = gate(monkeypatch, "dies", "works")
    assert host.connect(TARGET, 5.0) == "channel"
    assert [transport.opened for transport in transports] == [1, 1]


def test_a_second_death_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    host, transports = gate(monkeypatch, "dies", "dies", "works")
    with pytest.raises(JumpError, match=r"gate cannot reach 10\.0\.0\.2:22: EOFError"):
        host.connect(TARGET, 5.0)
    assert transports[2].opened == 0


def test_a_refusal_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    host, transports = gate(monkeypatch, "refuses", "works")
    with pytest.raises(JumpError, match="prohibited"):
        host.connect(TARGET, 5.0)
    assert transports[1].opened == 0
