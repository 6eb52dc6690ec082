"""What PufferLib's environments tell of the episodes that ended."""

from __future__ import annotations

import torch

from puffer_phc.envs.vec_env import VecEnv

_EVERY = 32  # steps between info dictionaries: making one waits for the device


class EpisodeReport:
    """Means over the episodes of ``env`` that ended since the last report."""

    def __init__(self, env: VecEnv) -> None:
        self._env, self._steps = env, 0
        self._ended = torch.zeros(4, device=env.device)  # episodes, summed return, summed length, successes

    def after_step(self) -> list[dict[str, float]]:
        """Count what the last step ended; every 32 steps a dictionary of means, if there is anything to tell."""
        env = self._env
        ended = torch.stack((torch.ones_like(env.reward), env.episode_return, env.episode_length, env.truncated))
        self._ended += (ended * env.done).sum(dim=1)
        self._steps += 1
        if self._steps % _EVERY:
            return []
        episodes, returns, lengths, successes = self._ended.tolist()
        self._ended.zero_()
        means = {"episode_return": returns, "episode_length": lengths, "success": successes}
        return [{name: total / episodes for name, total in means.items()}] if episodes else []
