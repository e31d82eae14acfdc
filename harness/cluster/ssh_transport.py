"""An SSH transport that many threads share, without two races that paramiko's own has.

The answer to CLOSE. Paramiko's thread answers a server's CLOSE at once, though a user's thread may
be about to send EOF or data on that channel. What comes after an answer is about a channel that is
no more (RFC 4254, section 5.3), and OpenSSH ends the whole connection for it: once in some ten
thousand short commands, the other commands on the connection were lost. Here the answer to CLOSE
is the user's, given by `leave`.

The end. `Transport.close` gives the socket's number free while paramiko's thread may be about to
read from it: that read would take bytes out of whichever connection gets the number next.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, ClassVar

import paramiko
from paramiko.common import MSG_CHANNEL_CLOSE, cMSG_CHANNEL_CLOSE

PARTING_S = 2.0
"""How long paramiko's thread may take to see that the connection was shut down."""


_PARAMIKO_HANDLERS: dict[int, Any] = paramiko.Transport._channel_handler_table  # type: ignore[attr-defined]  # noqa: SLF001


def _heard_close(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Take a server's CLOSE: users see the end now, and the answer waits for `leave`."""
    transport = channel.transport
    if not isinstance(transport, SharedTransport) or channel not in transport.lent:
        _PARAMIKO_HANDLERS[MSG_CHANNEL_CLOSE](channel, message)
        return
    with channel.lock:
        if channel.active and not channel.closed:
            transport.unanswered.add(channel)
            channel._set_closed()  # type: ignore[attr-defined]  # noqa: SLF001
        transport._unlink_channel(channel.chanid)  # type: ignore[attr-defined]  # noqa: SLF001


class SharedTransport(paramiko.Transport):
    """A connection whose channels are lent to threads, one user a channel.

    lent: the channels that have a user. unanswered: those of them that the server has closed.
    """

    _channel_handler_table: ClassVar = {**_PARAMIKO_HANDLERS, MSG_CHANNEL_CLOSE: _heard_close}

    def __init__(self, line: socket.socket | paramiko.Channel) -> None:
        super().__init__(line)
        self.lent: set[paramiko.Channel] = set()
        self.unanswered: set[paramiko.Channel] = set()

    def lend(self, timeout_s: float) -> paramiko.Channel:
        """Open a session; whoever takes it gives it back by `leave`.

        Raises: OSError, EOFError or SSHException.
        """
        channel = self.open_session(timeout=timeout_s)
        self.lent.add(channel)
        return channel

    def leave(self, channel: paramiko.Channel) -> None:
        """Close a channel on which nobody sends any more; idempotent."""
        with channel.lock:
            messages = list(channel._close_internal())  # type: ignore[attr-defined]  # noqa: SLF001
            if channel in self.unanswered:
                self.unanswered.discard(channel)
                messages.append(_close_of(channel))
        self.lent.discard(channel)
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            for message in messages:
                if message is not None:
                    self._send_user_message(message)  # type: ignore[attr-defined]

    def end(self) -> None:
        """Close the connection once nobody reads it any more."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            if isinstance(self.sock, socket.socket):
                self.sock.shutdown(socket.SHUT_RDWR)
                self.join(PARTING_S)
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self.close()


def _close_of(channel: paramiko.Channel) -> paramiko.Message:
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_CLOSE)
    message.add_int(channel.remote_chanid)
    return message
