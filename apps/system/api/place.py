"""Where `llmos serve` answers, and within which bounds; light, since the command line reads it."""

import ipaddress
from dataclasses import dataclass

IDLE = 10.0
"""Minutes without a turn after which a conversation ends."""
LARGEST = 8 * 2**20
"""Bytes of a request's body."""
REQUESTS = 1024
"""Requests under way; one more is told to come again."""


@dataclass(frozen=True)
class Place:
    """An address, and the bounds of what is served there."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0: a free one
    idle: float = IDLE
    largest: int = LARGEST
    requests: int = REQUESTS

    @property
    def loopback(self) -> bool:
        """Whether other machines cannot reach it."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
