"""Where episodes start: the uniform floor, and the share that goes to failures."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_phc.motions.sampler import MotionSampler, SamplingConfig

DRAWS = 40_000
NOISE = 0.015  # several standard deviations of a frequency over DRAWS


def sampler(durations=(4.0, 1.0, 2.5), seed=0, weights=None, **options):
    """Clips known by their durations alone; that is all a sampler looks at."""
    library = SimpleNamespace(
        device=torch.device("cpu"),
        num_clips=len(durations),
        duration=torch.tensor(durations, dtype=torch.float32),
        weights=weights,
    )
    return MotionSampler(library, SamplingConfig(**options), torch.Generator().manual_seed(seed))


def draw(who, count):
    random = torch.empty(3, count)
    who.draw(random)
    return who.sample(random)


def fail(who, clip, time, times=1):
    who.record(torch.full((times,), clip), torch.full((times,), time), torch.ones(times, dtype=torch.bool))
    who.update()


def shares(clips, count):
    return torch.bincount(clips, minlength=count) / len(clips)


@pytest.mark.parametrize("adaptive", [0.0, 0.5, 1.0])
def test_without_failures_every_clip_and_moment_is_as_likely(adaptive):
    clips, times = draw(sampler(adaptive=adaptive), DRAWS)
    torch.testing.assert_close(shares(clips, 3), torch.full((3,), 1 / 3), rtol=0, atol=NOISE)
    for clip, duration in enumerate((4.0, 1.0, 2.5)):
        own = times[clips == clip] / duration
        torch.testing.assert_close(
            torch.histc(own, 10, 0, 1) / len(own), torch.full((10,), 0.1), rtol=0, atol=2 * NOISE
        )


@pytest.mark.parametrize("adaptive", [0.5, 0.9])
def test_the_uniform_share_is_a_floor(adaptive):
    """However bad one moment is, the rest of the time is spent as before."""
    who = sampler(adaptive=adaptive, bin_seconds=1.0)
    fail(who, 0, 0.5, times=1000)
    clips, times = draw(who, DRAWS)
    floor = (1 - adaptive) / 3
    torch.testing.assert_close(shares(clips, 3), torch.tensor([floor + adaptive, floor, floor]), rtol=0, atol=NOISE)
    far = (clips == 0) & (times > 2.0)
    assert far.float().mean() == pytest.approx(floor / 2, abs=NOISE)


@pytest.mark.parametrize(
    ("clip", "moment", "low", "high"), [(0, 2.3, 1.5, 3.0), (0, 0.1, 0.0, 1.0), (2, 1.0, 0.5, 2.0), (1, 0.99, 0.0, 1.0)]
)
def test_adaptive_draws_start_shortly_before_the_failure(clip, moment, low, high):
    who = sampler(adaptive=1.0, bin_seconds=1.0, lead_seconds=0.5)
    fail(who, clip, moment)
    clips, times = draw(who, 2000)
    assert (clips == clip).all()
    assert times.min() >= low
    assert times.max() <= high
    assert times.min() < low + 0.1
    assert times.max() > high - 0.1
    assert (times < moment).any()


def test_twice_the_failures_twice_the_visits():
    who = sampler((10.0, 10.0), adaptive=1.0)
    who.record(torch.tensor([0, 0, 1]), torch.tensor([5.5, 5.6, 8.1]), torch.tensor([True, True, True]))
    who.update()
    torch.testing.assert_close(shares(draw(who, DRAWS)[0], 2), torch.tensor([2 / 3, 1 / 3]), rtol=0, atol=NOISE)


def test_a_short_last_bin_does_not_pile_starts_onto_the_last_frame():
    """Nothing can be practised from the very end of a clip."""
    who = sampler((3.2,), adaptive=1.0, bin_seconds=1.0, lead_seconds=0.5)
    fail(who, 0, 3.1)
    _, times = draw(who, 2000)
    assert (times >= 3.2 - 1e-3).float().mean() < 0.05


def test_failures_are_counted_per_bin_and_smoothed():
    """Bins of one second: four of the first clip, one, and three (the last one short)."""
    who = sampler(ema=0.25)
    assert who.failures.tolist() == [0.0] * 8
    who.record(
        torch.tensor([0, 0, 0, 1, 2, 2, 2]),
        torch.tensor([0.0, 0.99, 3.5, 0.4, 2.5, 1.0, 0.5]),
        torch.tensor([True, True, True, True, True, True, False]),
    )
    assert who.failures.tolist() == [0.0] * 8  # not before the rollout's end
    who.update()
    first = torch.tensor([2.0, 0, 0, 1, 1, 0, 1, 1]) * 0.25
    torch.testing.assert_close(who.failures, first)
    who.update()  # a rollout without failures
    torch.testing.assert_close(who.failures, 0.75 * first)
    who.record(torch.tensor([1]), torch.tensor([0.0]), torch.tensor([True]))
    who.record(torch.tensor([1]), torch.tensor([0.9]), torch.tensor([True]))
    who.update()
    expected = 0.75**2 * first
    expected[4] += 0.5
    torch.testing.assert_close(who.failures, expected)


@pytest.mark.parametrize("time", [4.0, 4.03, 1000.0])
def test_the_end_of_a_clip_belongs_to_its_last_bin(time):
    who = sampler(ema=1.0)
    fail(who, 0, time)
    assert who.failures.tolist() == [0, 0, 0, 1, 0, 0, 0, 0]


def test_clips_shorter_than_a_bin_have_one():
    who = sampler((0.2, 0.2), adaptive=1.0, ema=1.0)
    assert len(who.failures) == 2
    fail(who, 1, 0.1)
    clips, times = draw(who, 500)
    assert (clips == 1).all()
    assert times.max() <= 0.2


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(0.1, 20.0), min_size=1, max_size=6),
    st.floats(0.0, 1.0),
    st.floats(0.1, 3.0),
    st.floats(0.0, 3.0),
    st.data(),
)
def test_starts_lie_inside_their_clips(durations, adaptive, bin_seconds, lead, data):
    who = sampler(durations, adaptive=adaptive, bin_seconds=bin_seconds, lead_seconds=lead)
    for _ in range(data.draw(st.integers(0, 3))):
        clip = data.draw(st.integers(0, len(durations) - 1))
        fail(who, clip, data.draw(st.floats(0.0, durations[clip] + 0.1)))
    clips, times = draw(who, 200)
    assert clips.min() >= 0
    assert clips.max() < len(durations)
    assert times.min() >= 0.0
    assert (times <= torch.tensor(durations, dtype=torch.float32)[clips]).all()


def test_the_seed_decides():
    for a, b in zip(draw(sampler(seed=3), 50), draw(sampler(seed=3), 50), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(draw(sampler(seed=3), 50)[1], draw(sampler(seed=4), 50)[1])


def test_smoothing_practises_what_leads_up_to_a_failure():
    """Bins of 1 s; a failure in the third second of the first clip: its weights are 1/4, 1/2, 1, and no other's."""
    who = sampler(durations=(4.0, 3.0), adaptive=1.0, lead_seconds=0.0, smoothing=0.5)
    fail(who, 0, 2.5)
    clips, times = draw(who, DRAWS)
    assert not clips.any()
    expected = torch.tensor([1.0, 2.0, 4.0, 0.0]) / 7
    torch.testing.assert_close(shares(times.long(), 4), expected, rtol=0, atol=NOISE)


def test_smoothing_stays_within_a_clip():
    who = sampler(durations=(2.0, 3.0), adaptive=1.0, lead_seconds=0.0, smoothing=0.9)
    fail(who, 1, 0.5)
    clips, times = draw(who, 1000)
    assert (clips == 1).all()
    assert (times < 1.0).all()


def test_clips_are_drawn_by_their_weights():
    clips, _ = draw(sampler(weights=torch.tensor([1.0, 0.5, 2.5]), adaptive=0.0), DRAWS)
    torch.testing.assert_close(shares(clips, 3), torch.tensor([0.25, 0.125, 0.625]), rtol=0, atol=NOISE)
