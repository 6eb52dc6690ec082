"""Which moment of which clip an episode starts from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from puffer_phc.motions.library import MotionLibrary

_REACH = 4  # bins that smoothing looks ahead


@dataclass(frozen=True)
class SamplingConfig:
    """How episode starts are drawn.

    Attributes:
        adaptive: share of starts drawn in proportion to recent failures; the rest are uniform over clips and within
            each clip, as in PHC. 0 is PHC's uniform sampling.
        bin_seconds: clips are cut into bins of this length; failures are counted per bin.
        ema: weight of a rollout's failures in the running failure rate.
        lead_seconds: an adaptive start lies this long before the failure it wants to practise, at most.
        smoothing: share of a bin's failures that also counts for the bin before, its share for the one before that, and
            so on: what leads up to a failure is practised too. 0 is off.
    """

    adaptive: float = 0.5
    bin_seconds: float = 1.0
    ema: float = 0.05
    lead_seconds: float = 0.5
    smoothing: float = 0.0


class MotionSampler:
    """Draws clips and start times, more often where episodes have failed lately.

    The uniform share is a floor: no moment's probability ever reaches zero (PHC's own weighting lets clips that never
    failed vanish).

    Attributes:
        failures: (K,) running failures per bin and rollout, the state to save.
        num_draws: random numbers that one draw takes.
    """

    num_draws = 3

    def __init__(self, library: MotionLibrary, cfg: SamplingConfig, generator: torch.Generator) -> None:
        self._library, self._cfg, self._generator = library, cfg, generator
        device = library.device
        bins = torch.ceil(library.duration / cfg.bin_seconds).long().clamp_min(1)
        self._first_bin = torch.cumsum(bins, dim=0) - bins
        self._clip_of_bin = torch.repeat_interleave(torch.arange(library.num_clips, device=device), bins)
        self._bins = bins
        total = len(self._clip_of_bin)
        self._goes_on = self._clip_of_bin.roll(-1) == self._clip_of_bin  # the next bin is of the same clip
        self._goes_on[-1] = False
        self.failures = torch.zeros(total, device=device)
        self._new_failures = torch.zeros(total, device=device)

    def draw(self, random: Tensor) -> None:
        """Fill ``random`` (3, K) with the luck of :meth:`sample`, from the sampler's generator."""
        random.uniform_(generator=self._generator)

    def sample(self, random: Tensor) -> tuple[Tensor, Tensor]:
        """Clips (K,) int64 and start times (K,) s for random numbers (3, K) in [0, 1) from :meth:`draw`."""
        library, cfg = self._library, self._cfg
        clip = self._any_clip(random[0])
        time = random[1] * library.duration[clip]
        if cfg.adaptive == 0.0:
            return clip, time
        cumulative = torch.cumsum(self._weights(), dim=0)
        hard = torch.searchsorted(cumulative, random[0] * cumulative[-1], right=True).clamp_max(len(cumulative) - 1)
        hard_clip = self._clip_of_bin[hard]
        begin = (hard - self._first_bin[hard_clip]) * cfg.bin_seconds
        end = torch.minimum(begin + cfg.bin_seconds, library.duration[hard_clip])
        begin = (begin - cfg.lead_seconds).clamp_min(0.0)
        hard_time = begin + random[1] * (end - begin)
        adaptive = (random[2] < cfg.adaptive) & (cumulative[-1] > 0)
        return torch.where(adaptive, hard_clip, clip), torch.where(adaptive, hard_time, time)

    def _any_clip(self, random: Tensor) -> Tensor:
        """Clips (K,) drawn by the library's weights, whatever has failed."""
        library = self._library
        if library.weights is None:
            return (random * library.num_clips).long().clamp_max(library.num_clips - 1)
        cumulative = torch.cumsum(library.weights, dim=0)
        return torch.searchsorted(cumulative, random * cumulative[-1], right=True).clamp_max(library.num_clips - 1)

    def _weights(self) -> Tensor:
        """(K,) what adaptive draws are proportional to: the failures, smoothed backwards within each clip."""
        weights = earlier = self.failures
        if self._cfg.smoothing:
            for _ in range(_REACH):
                earlier = self._cfg.smoothing * torch.where(self._goes_on, earlier.roll(-1), 0.0)
                weights = weights + earlier
        return weights

    def record(self, clip_ids: Tensor, times: Tensor, failed: Tensor) -> None:
        """Count the failures of one control step: clips (N,), times (N,) s, failed (N,) bool."""
        bin_in_clip = torch.minimum((times / self._cfg.bin_seconds).long(), self._bins[clip_ids] - 1)
        self._new_failures.index_add_(0, self._first_bin[clip_ids] + bin_in_clip, failed.float())

    @property
    def new_failures(self) -> Tensor:
        """(K,) failures counted since the last :meth:`update`; ranks that share clips add theirs up in place."""
        return self._new_failures

    def update(self) -> None:
        """Fold the failures counted since the last call into the running rates; call once per rollout."""
        self.failures.lerp_(self._new_failures, self._cfg.ema)
        self._new_failures.zero_()
