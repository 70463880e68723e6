"""With -F a period is found soon that gives as many samples a second as were asked for."""

import pytest

from tests.session.recordings import recorded, samples_of


@pytest.mark.parametrize("freq", [10_000, 50_000])
@pytest.mark.parametrize("event", ["cycles", "cycles:u", "instructions"])
def test_the_period_settles_at_the_frequency(tmp_path, event, freq):
    recorded(tmp_path / "a", event, "sort", freq=freq)
    samples = [sample for _, sample in samples_of(tmp_path / "a")]
    elapsed = samples[-1].time - samples[0].time
    assert freq * elapsed / 10**9 < len(samples) < 2 * freq * elapsed / 10**9 + 20
    gaps = [b.time - a.time for a, b in zip(samples[-9:], samples[-8:], strict=False)]
    assert 0.7 < sum(gaps) / len(gaps) / (10**9 / freq) < 1.1
