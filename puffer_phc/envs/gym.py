"""``HumanoidPHC`` behind Gymnasium's two interfaces: one environment, or many in step."""

from __future__ import annotations

import contextlib
import time
import typing
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from puffer_phc.config import ROOT, Config, resolve, resolve_device
from puffer_phc.config_checks import check
from puffer_phc.config_files import load_ini, parse_value
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.errors import InputError
from puffer_phc.factory import make_env, make_library, make_robot
from puffer_phc.processor import intra_op_threads

_SECTIONS = ("env", "robot", "reward")  # whose options shape an environment, in the order in which names are looked up
_FPS = 30  # of a control step with the default options; the instance's own is in its metadata
Info = dict[str, Any]


class HumanoidPHCEnv(gymnasium.Env[NDArray[Any], NDArray[Any]]):
    """One humanoid, NumPy in and out::

        env = gymnasium.make("puffer_phc:puffer_phc/HumanoidPHC-v0", motion_file="walk.npz", action_lead=1)

    Every option of ``[env]``, ``[robot]`` and ``[reward]`` is a keyword. ``info`` has the clip's name, the time in it
    (s) and the reward's terms.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": _FPS}  # noqa: RUF012

    def __init__(
        self, render_mode: str | None = None, recipe: Sequence[str] = (), device: str = "cpu", **options: Any
    ) -> None:
        """Load motions and simulator.

        Args:
            render_mode: ``rgb_array`` for pictures of reference and simulation side by side, ``human`` for a window.
            recipe: ini files whose options lie over the defaults.
            device: where simulation runs; for a single humanoid a CPU is fastest.
            options: further options, over those.

        Raises:
            InputError: an option, or what it names, is wrong.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError("render_mode", f"{render_mode!r} is unknown", "use human, rgb_array or None")
        self.env = _make(1, recipe, device, {"threads": 1, **options})
        self.observation_space, self.action_space = _spaces(self.env)
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": round(1.0 / self.env.control_dt)}
        self._picture: _Picture | None = None

    @intra_op_threads(1)
    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[NDArray[np.float32], Info]:
        """Start an episode at a moment of a clip drawn at random, from ``seed`` if one is given."""
        super().reset(seed=seed)
        _reset(self.env, seed)
        if self._picture:
            self._picture.cut()
        self._note_pose()
        return _array(self.env.obs[0]), self._info(int(self.env.clip_ids[0]), float(self.env.time()[0]))

    @intra_op_threads(1)
    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, Info]:
        """Apply an action (D,) in [-1, 1] for one control step."""
        env = self.env
        clip, moment = int(env.clip_ids[0]), float(env.time(1)[0])
        env.step(torch.as_tensor(action, dtype=torch.float32, device=env.device)[None])
        terminated, truncated = bool(env.terminated[0]), bool(env.truncated[0])
        obs = env.final_obs if terminated or truncated else env.obs
        info = self._info(clip, moment)
        info |= dict(zip(env.task.term_names, env.reward_terms[0].tolist(), strict=True))
        if not (terminated or truncated):  # else the humanoid stands at its next start already
            self._note_pose()
        return _array(obs[0]), float(env.reward[0]), terminated, truncated, info

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The picture of ``rgb_array``; in ``human`` mode the window is drawn by ``step`` and ``reset``.

        Raises:
            InputError: there is no OpenGL.
        """
        if self.render_mode is None:
            gymnasium.logger.warn('render() does nothing without a render_mode, such as "rgb_array"')
            return None
        if self.render_mode == "human":
            return None
        if self._picture is None:
            self._picture = _Picture(self.env)
            self._note_pose()
        return self._picture.draw()

    def close(self) -> None:
        """Release window or OpenGL; a second call does nothing."""
        if self._picture:
            self._picture.close()
            self._picture = None

    def _note_pose(self) -> None:
        if self.render_mode == "human" and self._picture is None:
            self._picture = _Window(self.env)
        if self._picture:
            self._picture.note()

    def _info(self, clip: int, moment: float) -> Info:
        return {"clip": self.env.library.names[clip], "time": moment}


class HumanoidPHCVectorEnv(gymnasium.vector.VectorEnv[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]):
    """N humanoids stepped together by one simulator; what ``gymnasium.make_vec`` gives.

    An episode that ends starts anew in the same step (``AutoresetMode.SAME_STEP``): its last observation is
    ``info["final_obs"][i]``, and ``info["episode_return"]``, ``info["episode_length"]`` count where it ended.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as Gymnasium declares it
        "render_modes": [],
        "render_fps": _FPS,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        render_mode: str | None = None,
        recipe: Sequence[str] = (),
        device: str = "cpu",
        **options: Any,
    ) -> None:
        """Load motions and simulator; arguments as in :class:`HumanoidPHCEnv`, ``threads`` is 0 for all cores.

        Raises:
            InputError: an option, or what it names, is wrong.
        """
        if render_mode is not None:
            raise InputError("render_mode", "the batched environment draws no pictures", "use gymnasium.make")
        self.env, self.num_envs, self.render_mode = _make(num_envs, recipe, device, options), num_envs, None
        self.metadata = {**self.metadata, "render_fps": round(1.0 / self.env.control_dt)}
        self.single_observation_space, self.single_action_space = _spaces(self.env)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)

    @intra_op_threads(1)
    def reset(
        self, *, seed: int | list[int | None] | None = None, options: Info | None = None
    ) -> tuple[NDArray[np.float32], Info]:
        """Start an episode everywhere; of a list of seeds the first counts, one generator serves all."""
        _reset(self.env, seed[0] if isinstance(seed, list) else seed)
        return _array(self.env.obs), {}

    @intra_op_threads(1)
    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        """Apply actions (N, D) for one control step."""
        env = self.env
        env.step(torch.as_tensor(actions, dtype=torch.float32, device=env.device))
        done = env.done.cpu().numpy().copy()
        info: Info = {}
        if done.any():
            last = np.full(self.num_envs, None, dtype=object)
            rows = _array(env.final_obs[env.done])
            for row, index in enumerate(np.flatnonzero(done)):
                last[index] = rows[row]
            info = {"final_obs": last, "_final_obs": done}
            for name in ("episode_return", "episode_length"):
                info |= {name: getattr(env, name).cpu().numpy() * done, f"_{name}": done}
        ends = (env.terminated.cpu().numpy().copy(), env.truncated.cpu().numpy().copy())
        return _array(env.obs), env.reward.cpu().numpy().astype(np.float64), *ends, info


class _Picture:
    """Pictures of the first humanoid beside its reference."""

    def __init__(self, env: HumanoidPHC) -> None:
        from puffer_phc.viewers.render import MotionRenderer  # late: needs OpenGL

        self._env = env
        self._renderer = MotionRenderer(env.robot.model, fps=1.0 / env.control_dt)

    def note(self) -> None:
        """Keep the present poses for the next picture."""
        env = self._env
        state = env.library.state_at(env.clip_ids[:1], env.time()[:1])
        self._simulated = env.simulator.qpos()[0].numpy()
        self._reference = env.robot.qpos(state.root_pos, state.local_rot)[0].double().cpu().numpy()

    def draw(self) -> NDArray[np.uint8]:
        """The picture (H, W, 3); a task without reference has the humanoid alone."""
        picture = self._renderer.frame(self._simulated, self._reference)
        return picture if self._env.task.reference is not None else picture[:, self._renderer.width :].copy()

    def cut(self) -> None:
        """The next pose does not follow from the last one."""
        self._renderer.reset_camera()

    def close(self) -> None:
        self._renderer.close()


class _Window(_Picture):
    """MuJoCo's own window, in real time."""

    def __init__(self, env: HumanoidPHC) -> None:
        import mujoco

        from puffer_phc.viewers.window import open_viewer

        self._env, self._data = env, mujoco.MjData(env.robot.model)
        self._model = env.robot.model
        self._open = contextlib.ExitStack()
        maker = open_viewer('use render_mode="rgb_array"')
        self._window = self._open.enter_context(maker.open(self._model, self._data, lambda key: None))
        self._shown = time.perf_counter()

    def note(self) -> None:
        """Show the present pose when its time has come."""
        import mujoco

        time.sleep(max(0.0, self._shown + self._env.control_dt - time.perf_counter()))
        self._shown = time.perf_counter()
        with self._window.lock():
            self._data.qpos[:] = self._env.simulator.qpos()[0].numpy()
            mujoco.mj_forward(self._model, self._data)
        self._window.sync()

    def cut(self) -> None:
        """The camera follows by itself."""

    def close(self) -> None:
        self._open.close()


def options_of(recipe: Sequence[str], options: Info) -> Config:
    """The defaults, the ini files of ``recipe`` over them, ``options`` over those.

    Raises:
        InputError: there is no such option or value.
    """
    cfg = Config()
    for file in recipe:
        cfg = load_ini(cfg, Path(file))
    for name, value in options.items():
        if name == "threads":
            cfg = replace(cfg, base=replace(cfg.base, threads=int(value)))
            continue
        section = next((each for each in _SECTIONS if name in _names(getattr(cfg, each))), None)
        if section is None:
            known = sorted({known for each in _SECTIONS for known in _names(getattr(cfg, each))})
            raise InputError(name, "is no option of the environment", f"use one of {', '.join(known)}")
        hint = typing.get_type_hints(type(getattr(cfg, section)))[name]
        try:
            parsed = parse_value(" ".join(map(str, value)) if isinstance(value, list | tuple) else str(value), hint)
        except ValueError as error:
            raise InputError(name, f"{value!r} is wrong ({error})", "correct the value") from None
        cfg = replace(cfg, **{section: replace(getattr(cfg, section), **{name: parsed})})
    if cfg.env.motion_file == Config().env.motion_file and not Path(cfg.env.motion_file).exists():
        cfg = replace(cfg, env=replace(cfg.env, motion_file=str(ROOT / cfg.env.motion_file)))
    check(cfg)
    return cfg


def _names(section: Any) -> set[str]:
    return {item.name for item in fields(section)}


def _make(num_envs: int, recipe: Sequence[str], device: str, options: Info) -> HumanoidPHC:
    place = resolve_device(device)
    cfg = resolve(options_of(recipe, options), place)
    robot = make_robot(cfg)
    env = make_env(cfg, robot, make_library(cfg, robot, place), num_envs, place, cfg.base.seed)
    env.final_of_failures = True
    return env


def _spaces(env: HumanoidPHC) -> tuple[gymnasium.Space[NDArray[Any]], gymnasium.Space[NDArray[Any]]]:
    observations = gymnasium.spaces.Box(-np.inf, np.inf, (env.num_obs,), np.float32)
    return observations, gymnasium.spaces.Box(-1.0, 1.0, (env.num_actions,), np.float32)


def _reset(env: HumanoidPHC, seed: int | None) -> None:
    if seed is not None:
        env.generator.manual_seed(seed)
    env.terminated.zero_()
    env.truncated.zero_()
    env.reset()


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    """A copy in NumPy; what a diverged simulation left is made finite."""
    found: NDArray[np.float32] = torch.nan_to_num(values).cpu().numpy()
    return found
