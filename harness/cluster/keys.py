"""SSH keys that are made for one run and die with it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An ed25519 key. private: as OpenSSH writes it; public: as a line of authorized_keys."""

    private: str = field(repr=False)
    public: str

    @classmethod
    def generate(cls) -> KeyPair:
        """Make a new key."""
        encoded = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        )
        return cls.from_private(encoded.decode())

    @classmethod
    def from_private(cls, private: str) -> KeyPair:
        """Complete a private key. Raises: paramiko.SSHException when it is none."""
        key = paramiko.Ed25519Key(file_obj=io.StringIO(private))
        return cls(private, f"{key.get_name()} {key.get_base64()}")

    def for_paramiko(self) -> paramiko.PKey:
        """Give it to log in with, or to compare with what a host shows."""
        return paramiko.Ed25519Key(file_obj=io.StringIO(self.private))
