"""Gymnasium's ``Humanoid-v5`` as a batched environment, so that our learner can be compared on a task everybody knows.

Model, observation, reward, end of an episode and start are Gymnasium's, number for number; a test holds the two
together. Only the interface is ours: actions are in [-1, 1] and span the motors' range, episodes start anew by
themselves, and the reward that the learner sees may be scaled.
"""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import torch
from torch import Tensor

from puffer_phc.motions.sampler import MotionSampler
from puffer_phc.simulation.mujoco_threads import MujocoThreads

FRAME_SKIP = 5
EPISODE_STEPS = 1000
FORWARD_WEIGHT, CONTROL_WEIGHT, CONTACT_WEIGHT, MAX_CONTACT_COST, HEALTHY_REWARD = 1.25, 0.1, 5e-7, 10.0, 5.0
HEALTHY_HEIGHT = (1.0, 2.0)  # m
START_NOISE = 1e-2
TERM_NAMES = ("survive", "forward", "control", "contact")
_OBSERVED = ("qpos", "qvel", "cinert", "cvel", "qfrc_actuator", "cfrc_ext")


class GymHumanoid:
    """N humanoids that should walk forwards; see :class:`puffer_phc.envs.vec_env.VecEnv` for the tensors.

    Attributes:
        reward: (N,) Gymnasium's reward times ``reward_scale``.
        reward_terms: (N, 4) unscaled, in the order of ``TERM_NAMES``; their sum is Gymnasium's reward.
        episode_return: (N,) unscaled.
        simulation: the physics.
        action_range: what an action of 1 is to Gymnasium.
    """

    def __init__(self, num_envs: int, threads: int = 0, seed: int = 0, reward_scale: float = 1.0) -> None:
        """Load Gymnasium's own model file.

        Args:
            num_envs: N.
            threads: of the simulation, 0 for all cores.
            seed: of the start noise.
            reward_scale: multiplies what the learner sees; a healthy step is worth 5.
        """
        self.num_envs, self.reward_scale, self.device = num_envs, reward_scale, torch.device("cpu")
        self.sampler: MotionSampler | None = None
        self.generator = torch.Generator().manual_seed(seed)
        model = load_model()
        self.simulation = MujocoThreads(model, num_envs, (*_OBSERVED, "xipos"), threads)
        self._dt = model.opt.timestep * FRAME_SKIP
        self._range = torch.from_numpy(model.actuator_ctrlrange.astype(np.float32))
        self.action_range = float(model.actuator_ctrlrange.max())
        self._mass_share = torch.from_numpy(model.body_mass / model.body_mass.sum())
        self._default = torch.from_numpy(model.qpos0.copy())
        self.num_actions = int(model.nu)
        # The observation leaves out where in the plane the humanoid is, the world body and the root's motors.
        columns = self.simulation.columns
        skipped = {"qpos": 2, "cinert": 10, "cvel": 6, "qfrc_actuator": 6, "cfrc_ext": 6}
        kept = [np.arange(columns[name].start + skipped.get(name, 0), columns[name].stop) for name in _OBSERVED]
        self._columns = torch.from_numpy(np.concatenate(kept))
        self.num_obs = len(self._columns)
        self._rows = torch.from_numpy(self.simulation.rows)
        self._centre = torch.zeros(num_envs, dtype=torch.float64)  # m, x of the centre of mass
        self.obs, self.final_obs = torch.zeros(num_envs, self.num_obs), torch.zeros(num_envs, self.num_obs)
        self.reward, self.episode_return = torch.zeros(num_envs), torch.zeros(num_envs)
        self.reward_terms = torch.zeros(num_envs, len(TERM_NAMES))
        self.terminated, self.truncated, self.succeeded = (torch.zeros(num_envs, dtype=torch.bool) for _ in range(3))
        self.episode_length = torch.zeros(num_envs, dtype=torch.long)

    @property
    def done(self) -> Tensor:
        """(N,) bool: the last step ended an episode."""
        return self.terminated | self.truncated

    @property
    def final_room(self) -> int:
        """All of them."""
        return self.num_envs

    def reset(self) -> Tensor:
        """Start a new episode everywhere; returns ``obs``."""
        everyone = torch.arange(self.num_envs)
        self._start(everyone)
        self._clear(everyone)
        self.terminated.zero_()
        self.truncated.zero_()
        return self._observe()

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Apply actions (N, A), clipped to [-1, 1], for one control step of 15 ms."""
        self._clear(self.done.nonzero().squeeze(1))
        low, high = self._range.unbind(dim=1)
        control = low + 0.5 * (action.clamp(-1.0, 1.0) + 1.0) * (high - low)
        self.simulation.step(control.double().numpy(), FRAME_SKIP)
        self._score(control)
        self._judge()
        ended = self.done.nonzero().squeeze(1)
        if len(ended):
            self.final_obs[ended] = self._observation()[ended]
            self._start(ended)
        self._observe()
        return self.obs, self.reward, self.terminated, self.truncated

    def place(self, ids: Tensor, qpos: Tensor, qvel: Tensor) -> Tensor:
        """Put the humanoids ``ids`` (K,) into the states (K, nq), (K, nv) float64; returns ``obs`` of all."""
        self.simulation.reset(ids.tolist(), qpos.numpy(), qvel.numpy())
        self.simulation.read()
        self._centre[ids] = self._centre_of_mass()[ids]
        return self._observe()

    # -- parts of a step ---------------------------------------------------------------------------------------------

    def _start(self, ids: Tensor) -> None:
        noise = torch.rand(
            len(ids), self._default.numel() + self.simulation.model.nv, generator=self.generator
        ).double()
        qpos_noise, qvel = ((2.0 * noise - 1.0) * START_NOISE).tensor_split((self._default.numel(),), dim=1)
        self.place(ids, self._default + qpos_noise, qvel)

    def _score(self, control: Tensor) -> None:
        centre = self._centre_of_mass()
        forward = FORWARD_WEIGHT * (centre - self._centre) / self._dt
        self._centre = centre
        force = self._rows[:, self.simulation.columns["cfrc_ext"]]
        contact = (CONTACT_WEIGHT * force.square().sum(dim=1)).clamp_max(MAX_CONTACT_COST)
        effort = CONTROL_WEIGHT * control.double().square().sum(dim=1)
        terms = torch.stack((HEALTHY_REWARD * self._healthy(), forward, -effort, -contact), dim=1)
        self.reward_terms.copy_(terms.nan_to_num(0.0, 0.0, 0.0))  # a diverged simulation has no reward
        total = self.reward_terms.sum(dim=1)
        torch.mul(total, self.reward_scale, out=self.reward)
        self.episode_return += total
        self.episode_length += 1

    def _judge(self) -> None:
        torch.logical_not(self._healthy(), out=self.terminated)
        self.truncated.copy_((self.episode_length >= EPISODE_STEPS) & ~self.terminated)

    def _healthy(self) -> Tensor:
        height = self._rows[:, 2]
        return (height > HEALTHY_HEIGHT[0]) & (height < HEALTHY_HEIGHT[1])  # false where it is not a number

    def _centre_of_mass(self) -> Tensor:
        return self._rows[:, self.simulation.columns["xipos"]][:, 0::3] @ self._mass_share

    def _observation(self) -> Tensor:
        return self._rows.index_select(1, self._columns).float()

    def _observe(self) -> Tensor:
        self.obs = self._observation()
        return self.obs

    def _clear(self, ids: Tensor) -> None:
        self.episode_return[ids] = 0.0
        self.episode_length[ids] = 0


def load_model() -> mujoco.MjModel:
    """The model file that Gymnasium brings."""
    import gymnasium

    file = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "humanoid.xml"
    return mujoco.MjModel.from_xml_path(str(file))
