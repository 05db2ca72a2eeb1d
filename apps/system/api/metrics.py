"""Counters for `/metrics`, in Prometheus's text form."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ....kernel.process import State
from ..boot import Running
from .sessions import Sessions
from .turns import Answer

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What the server counts, and what it reads off the machine when it is asked."""

    def __init__(self, running: Running, sessions: Sessions) -> None:
        self._running, self._sessions = running, sessions
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("llmos_requests", "Answers by path and status", ["path", "status"], registry=registry)
        self._in = Counter("llmos_prompt_tokens", "Tokens of prompts", registry=registry)
        self._reused = Counter(
            "llmos_reused_tokens", "Of these, tokens that were not computed again", registry=registry
        )
        self._out = Counter("llmos_answer_tokens", "Tokens of answers", registry=registry)
        self._first = Histogram(
            "llmos_first_token_seconds", "From a call to its first token", registry=registry, buckets=_SECONDS
        )
        self._gauges = {
            name: Gauge(f"llmos_{name}", what, registry=registry)
            for name, what in {
                "requests_now": "Requests under way",
                "conversations": "Conversations that wait for their next turn",
                "turns_continued": "Requests that were turns of a process there was",
                "processes": "Living processes",
                "processes_computing": "Processes with tokens in the engine",
                "streams": "Streams of the engine",
                "streams_in_use": "Streams held by work under way",
                "swaps": "Streams that were moved out for others",
                "steps": "Steps of the engine since it began",
            }.items()
        }
        self.active = 0

    def answered(self, answer: Answer) -> None:
        """Count a finished answer."""
        self._in.inc(answer.tokens_in)
        self._reused.inc(answer.tokens_reused)
        self._out.inc(answer.tokens_out)
        self._first.observe(answer.first_token_s)

    def text(self) -> bytes:
        """All of it."""
        machine = self._running.machine
        living = machine.table.living()
        now = {
            "requests_now": self.active,
            "conversations": self._sessions.idle,
            "turns_continued": self._sessions.continued,
            "processes": len(living),
            "processes_computing": sum(process.state is State.RUNNING for process in living),
            "streams": sum(core.streams for core in machine.cores),
            "streams_in_use": machine.streams_in_use(),
            "swaps": sum(core.scheduler.swaps for core in machine.cores.locals),
            "steps": sum(core.scheduler.steps for core in machine.cores.locals),
        }
        for name, value in now.items():
            self._gauges[name].set(value)
        return generate_latest(self._registry)
