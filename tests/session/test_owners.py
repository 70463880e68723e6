"""Who owns counters, however often that changes."""

from types import SimpleNamespace

import pytest

from rvperf.session import owners
from rvperf.session.owners import Owners


@pytest.fixture
def followed(monkeypatch):
    """Owners of a hart with counter 3, whose host has a counter only when it is given."""
    monkeypatch.setattr(owners, "MOST", 100)
    driver = SimpleNamespace(events={}, info={}, on_change=None)
    host = SimpleNamespace(core=SimpleNamespace(driver=driver), counters_of=None, on_owner=None)
    one = SimpleNamespace(hart=SimpleNamespace(cycles=0), host=host)
    found = Owners(0, one, lambda vcpu: "vm0")
    found.begin()
    return found


VCPU = SimpleNamespace(vpmu=SimpleNamespace(reserved=0))


def flips(found, times: int, on: int, off: int) -> None:
    """A guest has counter 3 for `on` ns, `times` times, and nobody for `off` ns after each."""
    for _ in range(times):
        found.host.on_owner(VCPU, 1 << 3)
        found.hart.cycles += on
        found.host.on_owner(None, 1 << 3)
        found.hart.cycles += off


def test_few_intervals_are_kept_as_they_are(followed):
    flips(followed, 100, on=700, off=1)
    found = followed.end(followed.hart.cycles)
    assert [one.end - one.start for one in found] == [700] * 100
    assert followed.grain == 0


def test_very_many_are_joined_where_little_is_between(followed):
    flips(followed, 10_000, on=7_000, off=500)
    found = followed.end(followed.hart.cycles)
    assert len(found) <= 100 and followed.grain > 500
    whole = 10_000 * 7_500
    assert sum(one.end - one.start for one in found) == pytest.approx(whole, rel=0.01)


def test_what_is_short_between_long_gaps_goes(followed):
    flips(followed, 10_000, on=500, off=90_000)
    assert len(followed.end(followed.hart.cycles)) <= 100
