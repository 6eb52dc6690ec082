"""An exported folder, ready to run: policy, robot and what the policy sees. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from puffer_phc.deployment.metadata import METADATA_FILE, Metadata, read_metadata
from puffer_phc.deployment.motions import MotionFrames, load_frames
from puffer_phc.deployment.observations import Observer, make_observer
from puffer_phc.deployment.plant import Plant
from puffer_phc.deployment.runner import PolicyRunner
from puffer_phc.errors import InputError


class Deployment:
    """An exported folder.

    Args:
        folder: what ``--mode export`` wrote.
        timestep: s of a physics step; None for half of the trained one, 0 for the trained one.

    Attributes:
        folder: as given.
        runner, plant, observe: the policy, the robot in plain MuJoCo, and what makes observations.
        metadata: what the folder says about itself.

    Raises:
        InputError: a file is missing, damaged, or does not fit the others.
    """

    def __init__(self, folder: Path, timestep: float | None = None) -> None:
        if not folder.is_dir():
            raise InputError(folder, "is no folder", "name a folder that --mode export wrote")
        self.folder, self.runner = folder, PolicyRunner(folder)
        self.metadata = self.runner.metadata
        if read_metadata(folder / METADATA_FILE) != self.metadata:
            raise InputError(folder / METADATA_FILE, "differs from what policy.onnx carries", "export the policy again")
        trained = self.metadata.timestep
        self.plant = Plant(folder, self.metadata, trained / 2 if timestep is None else timestep or trained)
        self.observe: Observer = make_observer(self.plant.model, self.metadata)


def fitting_frames(path: Path, metadata: Metadata) -> MotionFrames:
    """The motions in ``path``.

    Raises:
        InputError: they are missing, damaged or another robot's.
    """
    frames, robot = load_frames(path), metadata.robot
    if frames.robot != robot.name:
        raise InputError(path, f"is of robot {frames.robot!r}, the policy of {robot.name!r}", "use its own motions")
    bodies, dofs = frames.body_pos.shape[1:2], frames.dof_pos.shape[1:2]
    if bodies != (len(robot.body_names),) or dofs != (len(robot.dof_names),):
        raise InputError(path, "has other bodies or joints than the policy", "use its own motions")
    return frames


def choose_clips(frames: MotionFrames, wanted: str) -> list[int]:
    """Numbers of the clips called ``wanted``: a name, a number, or nothing for all.

    Raises:
        InputError: there is none.
    """
    if not wanted:
        return list(range(len(frames.names)))
    if wanted in frames.names:
        return [frames.names.index(wanted)]
    if wanted.isdigit() and int(wanted) < len(frames.names):
        return [int(wanted)]
    names = ", ".join(frames.names[:5]) + (", ..." if len(frames.names) > 5 else "")
    raise InputError("--clip", f"no clip {wanted!r}", f"use 0 to {len(frames.names) - 1} or one of {names}")
