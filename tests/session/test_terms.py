"""What terms of an event (cycles/call-graph=fp/) change for that event alone."""

import pytest

from rvperf.session import SessionError
from tests.session.recordings import recorded, samples_of


def test_callchains_are_those_that_each_event_asked_for(tmp_path):
    chain = "call-graph=exact"
    events = f"cycles/{chain},max-stack=3/u,instructions/{chain}/u,branches:u"
    recorded(tmp_path / "terms", events, "recurse", period=2000)
    recorded(tmp_path / "all", "cycles:u,instructions:u,branches:u", "recurse", period=2000,
             callchain="exact")  # fmt: skip
    mine, whole = samples_of(tmp_path / "terms"), samples_of(tmp_path / "all")
    assert [(s.ip, s.time) for _, s in mine] == [(s.ip, s.time) for _, s in whole]
    assert max(len(s.callchain) for _, s in whole) > 4
    for (name, sample), (_, other) in zip(mine, whole, strict=True):
        if "max-stack" in name:  # the mark of user mode counts
            assert tuple(sample.callchain) == tuple(other.callchain)[:3]
        elif "call-graph" in name:
            assert sample.callchain == other.callchain
        else:
            assert not sample.callchain


def test_stacks_are_as_large_as_the_event_asked_for(tmp_path):
    recorded(tmp_path / "a", "cycles/call-graph=dwarf,stack-size=100/u", "recurse", period=9000)
    samples = [sample for _, sample in samples_of(tmp_path / "a")]
    assert samples and {len(sample.stack) for sample in samples} == {104}  # whole words


@pytest.mark.parametrize(
    "events, why",
    [
        ("cycles/call-graph=fp/u,branches/call-graph=dwarf/u", "kinds dwarf and fp"),
        ("cycles/no-inherit/u,branches:u", "either all events are inherited"),
    ],
)
def test_what_cannot_be_had_together_is_said(tmp_path, events, why):
    with pytest.raises(SessionError, match=why):
        recorded(tmp_path / "a", events, "recurse", period=9000)
    assert not (tmp_path / "a").exists()
