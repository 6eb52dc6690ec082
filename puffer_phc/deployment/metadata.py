"""What an exported policy says about itself: enough to build its observation and to use its output.

The same JSON lies beside the policy (``metadata.json``) and inside ``policy.onnx``. Nothing here needs torch.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from puffer_phc.errors import InputError

FORMAT = "puffer_phc.policy"
VERSION = 1
ONNX_KEY = "puffer_phc"
"""Key of the JSON among the custom metadata of ``policy.onnx``."""

ONNX_FILE, TORCHSCRIPT_FILE, METADATA_FILE = "policy.onnx", "policy.pt", "metadata.json"
NORM_FILE, MODEL_FILE, MOTIONS_FILE = "obs_norm.npz", "robot.xml", "motions.npz"

OBS, REFERENCE, STATE = "obs", "reference_dof_pos", "state"
"""Inputs of the graph: the raw observation; the pose that is added to; the recurrent state."""
TARGET, ACTION, NEXT_STATE = "target", "action", "next_state"
"""Outputs of the graph."""

_REMEDY = "export the policy again with --mode export"


@dataclass(frozen=True)
class Block:
    """A run of numbers in the observation that belong together."""

    name: str
    size: int


@dataclass(frozen=True)
class ObservationInfo:
    """What the policy sees.

    Attributes:
        layout: name of the function that builds it, see ``puffer_phc.deployment.observations``.
        size: O.
        clip: the graph clips normalised numbers to +- this.
        blocks: parts in order; empty where the layout is not known by name.
    """

    layout: str
    size: int
    clip: float
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class ActionInfo:
    """How the graph makes joint targets (rad) of actions in [-1, 1].

    Attributes:
        mode: ``reference``: target = reference pose + scale x action; ``absolute``: offset + scale x action.
        offset, scale: (D,) rad; the offset is 0 in ``reference`` mode.
        lead_steps: control steps that the reference pose is ahead of now.
    """

    mode: str
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    lead_steps: float


@dataclass(frozen=True)
class RobotInfo:
    """The robot that the policy was trained with.

    Attributes:
        name: as in checkpoints.
        body_names: (B,) in the order of observations.
        dof_names: (D,) actuators of ``robot.xml``, in the order of actions and targets.
        kp, kd: (D,) N m / rad and N m s / rad.
        torque_limit: (D,) N m; None where there is none.
        frozen_dofs: (D,) bool, joints that training holds still in ``absolute`` mode.
        body_sets: named groups of bodies; ``evaluation`` are those whose distance decides on success.
    """

    name: str
    body_names: tuple[str, ...]
    dof_names: tuple[str, ...]
    kp: tuple[float, ...]
    kd: tuple[float, ...]
    torque_limit: tuple[float | None, ...]
    frozen_dofs: tuple[bool, ...]
    body_sets: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class ClipScore:
    """The trainer's own evaluation of one clip: steps it lasts, steps that were played, mean error in mm."""

    name: str
    frames: int
    played_steps: int
    success: bool
    mpjpe_g: float | None


@dataclass(frozen=True)
class EpisodeScore:
    """The trainer's own evaluation of a policy that follows no motion.

    Attributes:
        episodes: how many were played.
        steps: control steps until an episode ended, mean.
        fall_rate: share of episodes that ended before their time.
        task_reward: of a control step, mean.
    """

    episodes: int
    steps: float
    fall_rate: float
    task_reward: float


@dataclass(frozen=True)
class FreeTask:
    """What a policy that follows no motion was trained for (``--env.task amp``).

    Attributes:
        goal: what it is asked for, see ``puffer_phc.deployment.goals``.
        goal_steps: control steps until another goal is drawn.
        speed_range: m / s, lowest and highest that goals of velocity and heading ask for.
        goal_distance: m, the furthest place that a goal of location asks for.
        run_share: share of commands that ask for running.
        episode_steps: control steps of an episode.
        fall: the rule for falls, see ``puffer_phc.deployment.falls``.
        fall_height: m, of the rule contact.
        fall_tilt: rad, of the rule pose.
        root_heights: m, of the rule pose: lowest and highest root; None for any.
        local_root: the heading is taken out of the observed rotation of the root.
        state_init: where episodes start: random or start (of a clip), default (standing) or hybrid.
        default_share: of hybrid starts that stand.
        default_qpos: (nq,) MuJoCo's positions of standing.
        evaluation: the trainer's result, without noise.
    """

    goal: str
    goal_steps: int
    speed_range: tuple[float, ...]
    goal_distance: float
    run_share: float
    episode_steps: int
    fall: str
    fall_height: float
    fall_tilt: float
    root_heights: tuple[float | None, ...]
    local_root: bool
    state_init: str
    default_share: float
    default_qpos: tuple[float, ...]
    evaluation: EpisodeScore | None


@dataclass(frozen=True)
class Metadata:
    """Everything but the weights.

    Attributes:
        robot, observation, action: see there.
        state_size: numbers of recurrent state, 0 for none; it starts as zeros.
        control_dt: s between two calls of the policy.
        timestep, substeps: physics of training.
        version: of puffer-phc, that exported.
        opset: of the ONNX file.
        training_steps: samples the policy was trained with.
        checkpoint, checkpoint_sha256: the file it comes from.
        termination_distance: m, mean distance of the bodies ``evaluation`` beyond which a clip has failed.
        evaluation: the trainer's result for each clip of ``motions.npz``.
        task: of a policy that follows no motion; None for one that does.
    """

    robot: RobotInfo
    observation: ObservationInfo
    action: ActionInfo
    state_size: int
    control_dt: float
    timestep: float
    substeps: int
    version: str
    opset: int
    training_steps: int
    checkpoint: str
    checkpoint_sha256: str
    termination_distance: float
    evaluation: tuple[ClipScore, ...]
    task: FreeTask | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs in order."""
        reference = (REFERENCE,) if self.action.mode == "reference" else ()
        return (OBS, *reference, *((STATE,) if self.state_size else ()))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs in order."""
        return (TARGET, ACTION, *((NEXT_STATE,) if self.state_size else ()))

    def to_json(self) -> str:
        """The text of ``metadata.json``."""
        return json.dumps({"format": FORMAT, "format_version": VERSION, **dataclasses.asdict(self)}, indent=1)


def parse_metadata(text: str, where: str | Path) -> Metadata:
    """The inverse of :meth:`Metadata.to_json`.

    Raises:
        InputError: it is damaged, none of ours or newer; ``where`` says what the text comes from.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InputError(where, f"is no JSON ({error})", _REMEDY) from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(where, "is not the metadata of an exported policy", _REMEDY)
    if data.get("format_version") != VERSION:
        raise InputError(where, f"has format version {data.get('format_version')!r}, not {VERSION}", _REMEDY)
    try:
        metadata: Metadata = _decode(data, Metadata)
        _check_sizes(metadata)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else f"is damaged ({error})"
        raise InputError(where, reason, _REMEDY) from None
    return metadata


def read_metadata(path: Path) -> Metadata:
    """The metadata in the file ``path``.

    Raises:
        InputError: there is none, or it is damaged.
    """
    return parse_metadata(read_text(path), path)


def read_text(path: Path) -> str:
    """The text of one file of an exported folder.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise InputError(path, f"cannot be read ({reason})", "name a folder that --mode export wrote") from None


def _check_sizes(metadata: Metadata) -> None:
    dofs = len(metadata.robot.dof_names)
    per_dof = {
        "kp": metadata.robot.kp,
        "kd": metadata.robot.kd,
        "torque_limit": metadata.robot.torque_limit,
        "frozen_dofs": metadata.robot.frozen_dofs,
        "offset": metadata.action.offset,
        "scale": metadata.action.scale,
    }
    for name, values in per_dof.items():
        if len(values) != dofs:
            raise ValueError(f"{len(values)} numbers of {name} for {dofs} dofs")
    if not (metadata.control_dt > 0 and metadata.timestep > 0 and metadata.substeps >= 1):
        raise ValueError("time steps are not positive")
    task = metadata.task
    if task and (len(task.speed_range) != 2 or len(task.root_heights) != 2):
        raise ValueError("a range has two ends")
    if task and not (task.goal_steps >= 1 and task.episode_steps >= 1):
        raise ValueError("goals or episodes last no step")


def _decode(value: Any, kind: Any) -> Any:
    """``value``, out of JSON, as a ``kind``: a dataclass, tuple, dict, number, text or an optional one of these.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        # What has a default is newer than the format: older files lack it.
        wanted = [item.name for item in dataclasses.fields(kind) if item.name in value or item.default is MISSING]
        return kind(**{name: _decode(value[name], hints[name]) for name in wanted})
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} where a list should be")
        return tuple(_decode(item, arguments[0]) for item in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise TypeError(f"{value!r} where an object should be")
        return {str(key): _decode(item, arguments[1]) for key, item in value.items()}
    if type(None) in arguments:
        return None if value is None else _decode(value, arguments[0])
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r} where {kind.__name__} should be")
    return value
