"""Clock: now and sleep."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from . import calls as c

if TYPE_CHECKING:
    from .gate import Call


async def now(call: Call, request: c.Now) -> c.Time:
    """Seconds since the epoch."""
    return c.Time(seconds=time.time())


async def sleep(call: Call, request: c.Sleep) -> c.Nothing:
    """Wait, without holding anything of the engine."""
    await asyncio.sleep(request.seconds)
    return c.Nothing()
