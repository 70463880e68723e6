"""A session that answers at once, so that only the command line is tested."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import pytest

from rvperf.cli import main
from rvperf.results import Count, Exit, Interval, StatResult


@dataclass(frozen=True)
class Workload:
    argv: tuple
    sysroot: str | None
    allow_write: tuple
    env: dict
    engine: str
    timeout_ns: int | None
    verbose: int
    descriptors: tuple


@dataclass(frozen=True)
class Every:
    ns: int
    times: int
    told: object


@dataclass(frozen=True)
class StatRequest:
    workload: Workload
    events: tuple
    every: Every | None = None


class SessionError(Exception):
    def __init__(self, message, exit_code):
        super().__init__(message)
        self.message, self.exit_code = message, exit_code


@dataclass
class FakeSession:
    """Counts 1000 of everything in 2 ms; a test may set how the program ends, or an error, and how
    many intervals are told of, in each of which half of everything is counted, and what is done
    after each of them."""

    exits: list[Exit] = field(default_factory=lambda: [Exit(code=0)])
    error: BaseException | None = None
    values: list[int] = field(default_factory=lambda: [1000])
    intervals: int = 2
    meanwhile: Callable[[], None] = lambda: None
    requests: list[StatRequest] = field(default_factory=list)

    def stat(self, request: StatRequest) -> StatResult:
        if self.error:
            raise self.error
        value = self.values[len(self.requests) % len(self.values)]
        exit_ = self.exits[len(self.requests) % len(self.exits)]
        self.requests.append(request)
        counts = self.counts(request, value, 10**6)
        if request.every:
            for number in range(self.intervals):
                half = self.counts(request, value // 2, 500_000)
                request.every.told(Interval((number + 1) * request.every.ns, half))
                self.meanwhile()
        return StatResult(request.workload.argv, counts, 2 * 10**6, 10**6, 0, exit_)

    @staticmethod
    def counts(request, value, time):
        return tuple(
            Count(e.name, e.symbol, value, True, time, time, e.unit, e.scale)
            for e in request.events
        )


@pytest.fixture
def session(monkeypatch):
    """The fake, in the place of rvperf.session."""
    fake = FakeSession()
    module = ModuleType("rvperf.session")
    module.stat, module.SessionError = fake.stat, SessionError
    module.StatRequest, module.Workload, module.Every = StatRequest, Workload, Every
    monkeypatch.setitem(sys.modules, "rvperf.session", module)
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.delenv("RVPERF_SYSROOT", raising=False)
    return fake


@dataclass
class Run:
    status: int
    out: str
    err: str


@pytest.fixture
def rvperf(capfd, session):
    """Runs a command line: `rvperf("stat", "-n", "./program")`."""

    def run(*words: str) -> Run:
        status = main(list(words))
        return Run(status, *capfd.readouterr())

    return run
