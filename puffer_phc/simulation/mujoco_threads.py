"""Many copies of one MuJoCo model, stepped in threads, with everything MuJoCo derives from their states.

``mujoco.batch`` does not offer the forces between bodies (``cfrc_ext``) of the step it has just done: MuJoCo computes
them on request only, in the memory of each simulation, and with the RK4 integrator they belong to a state inside the
step that no later call comes by. So each simulation keeps its own memory here. The loop over them costs about 5 us for
each, of a step that takes 250 to 1,000 us; MuJoCo works outside Python's lock, so threads do run at once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np
from numpy.typing import NDArray

from puffer_phc.processor import cores

# A simulation that diverges is put back by MuJoCo and ended by the task; its warning would go to a file.
mujoco.set_mju_user_warning(logging.getLogger("puffer_phc.mujoco").debug)


class MujocoThreads:
    """N simulations of ``model`` on the CPU, in float64.

    Attributes:
        rows: (N, sum of sizes) the fields asked for, side by side, as after the last call.
    """

    def __init__(self, model: mujoco.MjModel, num_envs: int, fields: Sequence[str], threads: int = 0) -> None:
        """Allocate the simulations in their default pose.

        Args:
            model: what to simulate; shared by all.
            num_envs: N.
            fields: names of MjData arrays whose values are wanted in ``rows``.
            threads: worker threads, 0 for one on each core.
        """
        self.model = model
        self._data = [mujoco.MjData(model) for _ in range(num_envs)]
        self._ctrl = [data.ctrl for data in self._data]
        self._qpos, self._qvel = [data.qpos for data in self._data], [data.qvel for data in self._data]
        views = [[getattr(data, name).reshape(-1) for name in fields] for data in self._data]
        sizes = [view.size for view in views[0]]
        ends = np.cumsum(sizes).tolist()
        self.columns = {name: slice(end - size, end) for name, size, end in zip(fields, sizes, ends, strict=True)}
        self._views = [view for row in views for view in row]
        self.rows = np.empty((num_envs, ends[-1]))
        self._flat = self.rows.reshape(-1)
        workers = min(threads or cores(), num_envs)
        self._parts = [range(start, num_envs, workers) for start in range(workers)]
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None
        self.read()

    def step(self, ctrl: NDArray[np.float64], substeps: int) -> None:
        """Advance every simulation with controls (N, nu); ``rows`` then hold what a step leaves behind."""
        if self._pool is None:
            self._step(self._parts[0], ctrl, substeps)
        else:
            list(self._pool.map(lambda part: self._step(part, ctrl, substeps), self._parts))
        self.read()

    def reset(self, ids: Sequence[int], qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        """Put the simulations ``ids`` (K,) into the states (K, nq), (K, nv); call :meth:`read` when done."""
        for row, index in enumerate(ids):
            data = self._data[index]
            mujoco.mj_resetData(self.model, data)
            self._qpos[index][:] = qpos[row]
            self._qvel[index][:] = qvel[row]
            mujoco.mj_forward(self.model, data)

    def read(self) -> None:
        """Gather ``rows``."""
        np.concatenate(self._views, out=self._flat)

    def _step(self, part: range, ctrl: NDArray[np.float64], substeps: int) -> None:
        model = self.model
        for index in part:
            data = self._data[index]
            self._ctrl[index][:] = ctrl[index]
            mujoco.mj_step(model, data, substeps)
            mujoco.mj_rnePostConstraint(model, data)
