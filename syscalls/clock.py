"""Clock and chance: now, sleep, random."""

from __future__ import annotations

import asyncio
import time
from random import SystemRandom
from typing import TYPE_CHECKING

from . import calls as c

if TYPE_CHECKING:
    from .gate import Call


async def now(call: Call, request: c.Now) -> c.Time:
    """Seconds since the epoch."""
    return c.Time(seconds=time.time())


async def sleep(call: Call, request: c.Sleep) -> c.Nothing:
    """Wait, without holding anything of the engine; time in which llmos did not run counts."""
    await asyncio.sleep(max(call.asked.at + request.seconds - time.time(), 0) if call.again else request.seconds)
    return c.Nothing()


async def random(call: Call, request: c.Random) -> c.Drawn:
    """From the system's own source."""
    return c.Drawn(value=SystemRandom().random())
