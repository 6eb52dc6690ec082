"""The policies of a run, for viewers that change between them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from puffer_phc.envs.actions import ActionConfig
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.errors import InputError
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training import checkpoint


class Shelf:
    """The checkpoints that lie beside the one that was named.

    Attributes:
        name: the one in use.
    """

    def __init__(self, env: HumanoidPHC, file: Path) -> None:
        self._env, self._folder, self.name = env, file.parent, file.name

    def names(self) -> list[str]:
        """What is there now: a run in training adds to it."""
        return sorted({self.name, *(path.name for path in self._folder.glob("*.pt") if path.name[0] != ".")})

    def load(self, name: str) -> ActorCritic:
        """The policy in file ``name``, which becomes the one in use.

        Raises:
            InputError: it is damaged, or made for another robot, observation or meaning of actions.
        """
        path, env = self._folder / name, self._env
        data = checkpoint.load(path)
        policy = checkpoint.load_policy(data, env.robot.name, env.num_obs, env.num_actions, str(path))
        trained, here = checkpoint.config_of(data, path).env, env.actions.cfg
        for option in (item.name for item in fields(ActionConfig)):
            theirs, ours = getattr(trained, option), getattr(here, option)
            if theirs != ours:
                fault = f"was trained with env.{option} {theirs}, what plays here has {ours}"
                raise InputError(path, fault, "start the viewer with it")
        self.name = name
        return policy.to(env.device)
