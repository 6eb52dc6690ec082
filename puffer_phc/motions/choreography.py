"""The sample motions: three short performances that a simulated humanoid can learn, planned key by key."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.curves import keyed, piecewise_linear
from puffer_phc.motions.footwork import Placement, Side, Step, StepStyle, foot_track
from puffer_phc.motions.synthesis import (
    Keys,
    MotionPlan,
    frame_times,
    keyed_angles,
    keyed_arm,
    realise,
)

_STANCE = 0.09  # m, ankle from the middle; the rest pose's width
_MID_FOOT = 0.035  # m, centre of pressure of quiet standing ahead of the ankle
_STAND_HEIGHT = 0.926  # m, pelvis over the floor with the knees slightly bent
_GAIT_HEIGHTS = (0.904, 0.877)  # m, pelvis in the middle of single support and when a heel strikes
_TIP_STEP = StepStyle(clearance=0.055, push_off=math.radians(12), strike=math.radians(2), rise=0.16, settle=0.08)
_GAIT = StepStyle(clearance=0.015, push_off=math.radians(36), strike=math.radians(12), rise=0.22, settle=0.09)


def squat_and_wave() -> MotionClip:
    """Stand, squat with the arms raised forward, stand up, wave the right hand."""
    times = frame_times(5.6)
    squat = ((0.4, 0.0), (1.35, 1.0), (1.55, 1.0), (2.5, 0.0))

    def scaled(value: float, rest: float = 0.0) -> Keys:
        return [(time, rest + (value - rest) * depth) for time, depth in squat]

    waves = [(3.3 + 0.27 * i, 68.0 if i % 2 else 108.0) for i in range(6)]
    feet = {side: foot_track(times, side, Placement(0.0, y), (), _TIP_STEP) for side, y in _rest_feet()}
    plan = MotionPlan(
        times=times,
        zmp=_zmp(times, [(0.0, (_MID_FOOT, 0.0)), (times[-1].item(), (_MID_FOOT, 0.0))]),
        feet=feet,
        pelvis_height=keyed(times, scaled(_STAND_HEIGHT - 0.125, _STAND_HEIGHT)),
        pelvis_angles=keyed_angles(times, pitch=scaled(22)),
        trunk_angles=keyed_angles(
            times, pitch=scaled(14), roll=((2.7, 0), (3.3, -3), (4.7, -3), (5.3, 0)), yaw=((2.7, 0), (3.3, 4), (4.7, 0))
        ),
        head_angles=keyed_angles(times, pitch=scaled(-24), yaw=((2.6, 0), (3.2, -6), (4.8, -6), (5.3, 0))),
        arms={
            "L": keyed_arm(times, flexion=scaled(96, 4), abduction=scaled(8, 9), elbow=scaled(10, 16)),
            "R": keyed_arm(
                times,
                flexion=scaled(96, 4),
                abduction=[*scaled(8, 9), (2.55, 9), (3.3, 66), (4.6, 66), (5.35, 9)],
                twist=((2.55, 0), (3.3, -78), (4.65, -78), (5.35, 0)),
                elbow=[*scaled(10, 16), (2.55, 16), *waves, (5.35, 16)],
            ),
        },
    )
    return realise("squat_and_wave", plan)


def weight_shift_turn() -> MotionClip:
    """Shift the weight to the left and to the right, then turn a quarter to the left with four small steps."""
    times = frame_times(5.8)
    start = {side: Placement(0.0, y) for side, y in _rest_feet()}
    steps = [
        Step("L", 2.15, 2.60, _turned("L", 40)),
        Step("R", 2.90, 3.35, _turned("R", 50)),
        Step("L", 3.65, 4.10, _turned("L", 90)),
        Step("R", 4.40, 4.85, _turned("R", 90)),
    ]
    end = {"L": _turned("L", 90), "R": _turned("R", 90)}
    sway = 0.75  # how far the weight goes from the middle (0) to over one foot (1)
    zmp = [
        (0.3, _between(start["L"], start["R"], 0.0)),
        (0.7, _between(start["L"], start["R"], sway)),
        (1.0, _between(start["L"], start["R"], sway)),
        (1.45, _between(start["L"], start["R"], -sway)),
        (1.8, _between(start["L"], start["R"], -sway)),
    ]
    standing = dict(start)
    for step in steps:
        support = standing["R" if step.side == "L" else "L"]
        zmp += [(step.lift, _over(support)), (step.land, _over(support))]
        standing[step.side] = step.place
    zmp.append((5.25, _between(end["L"], end["R"], 0.0)))
    lean = ((0.3, 0), (0.9, 1.0), (1.05, 1.0), (1.75, -1.0), (2.0, -1.0), (2.5, 0.0))
    swing = ((2.0, 0), (2.5, 1), (3.25, -1), (4.0, 1), (4.75, -1), (5.4, 0))
    plan = MotionPlan(
        times=times,
        zmp=_zmp(times, zmp),
        feet={side: foot_track(times, side, start[side], steps, _TIP_STEP) for side in start},
        pelvis_height=keyed(
            times,
            ((0.3, _STAND_HEIGHT), (0.9, _STAND_HEIGHT - 0.012), (5.0, _STAND_HEIGHT - 0.012), (5.6, _STAND_HEIGHT)),
        ),
        pelvis_angles=keyed_angles(times, roll=_scaled(lean, -2.5), yaw=((1.95, 0), (5.05, 90))),
        trunk_angles=keyed_angles(times, roll=_scaled(lean, 4.0), yaw=((1.85, 0), (2.7, 10), (4.0, 8), (5.2, 0))),
        head_angles=keyed_angles(times, roll=_scaled(lean, -1.5), yaw=((1.7, 0), (2.4, 22), (3.8, 14), (5.1, 0))),
        arms={
            "L": keyed_arm(
                times, flexion=_scaled(swing, -7, 4), abduction=_scaled(lean, 5, 10), elbow=_scaled(swing, -4, 18)
            ),
            "R": keyed_arm(
                times, flexion=_scaled(swing, 7, 4), abduction=_scaled(lean, -5, 10), elbow=_scaled(swing, 4, 18)
            ),
        },
    )
    return realise("weight_shift_turn", plan)


def walk(steps: int = 10, step_length: float = 0.53, step_time: float = 0.50) -> MotionClip:
    """Stand, walk straight on, stop.

    Args:
        steps: number of steps, 5 or more; those at either end are shorter, the last brings the feet together.
        step_length: m from one foot to the other.
        step_time: s from one toe-off to the next.
    """
    first_lift, swing_time, width = 0.75, 0.76 * step_time, 0.075
    times = frame_times(first_lift + step_time * (steps - 1) + swing_time + 0.75)
    start: dict[Side, Placement] = {side: Placement(0.0, y) for side, y in _rest_feet()}
    lengths = [0.65, 0.85, *[1.0] * (steps - 5), 0.9, 0.7, 0.0]  # shorter while speed is gained and lost
    plan_steps: list[Step] = []
    for i in range(steps):
        side: Side = "R" if i % 2 else "L"
        lift = first_lift + step_time * i
        place = Placement(step_length * sum(lengths[: i + 1]), width if side == "L" else -width)
        plan_steps.append(Step(side, lift, lift + swing_time, place))
    return realise("walk", _gait_plan(times, start, plan_steps))


def _gait_plan(times: Tensor, start: dict[Side, Placement], steps: Sequence[Step]) -> MotionPlan:
    """Plan of a walk: the pelvis sinks and turns with each landing, trunk and arms swing against the legs."""
    begin, done = steps[0].lift - 0.3, steps[-1].land + 0.5
    sign = [1.0 if step.side == "L" else -1.0 for step in steps]
    share = [0.6, *[1.0] * (len(steps) - 2), 0.0]  # of the full swing, at each landing
    landings = [
        (begin, 0.0),
        *((s.land + 0.03, k * g) for s, k, g in zip(steps, sign, share, strict=True)),
        (done, 0.0),
    ]
    lifted = [(begin, 0.0), *((0.5 * (s.lift + s.land), k) for s, k in zip(steps, sign, strict=True)), (done, 0.0)]
    high, low = _GAIT_HEIGHTS
    half_step = 0.5 * (steps[1].lift - steps[0].lift)
    height = [(begin, _STAND_HEIGHT)]
    for step in steps:
        strike = step.land + 0.01
        height += [(strike - half_step, high), (strike, low if step is not steps[-1] else high)]
    height.append((done, _STAND_HEIGHT))
    going = ((begin, 0), (steps[1].lift, 1), (steps[-1].lift, 1), (done, 0))
    return MotionPlan(
        times=times,
        zmp=_zmp(times, _gait_zmp(start, steps)),
        feet={side: foot_track(times, side, start[side], steps, _GAIT) for side in start},
        pelvis_height=keyed(times, height),
        pelvis_angles=keyed_angles(
            times, roll=_scaled(lifted, -2.5), pitch=_scaled(going, 3), yaw=_scaled(landings, -5)
        ),
        trunk_angles=keyed_angles(times, roll=_scaled(lifted, 2.0), pitch=_scaled(going, 1), yaw=_scaled(landings, 10)),
        head_angles=keyed_angles(times, roll=_scaled(lifted, 0.5), pitch=_scaled(going, -3), yaw=_scaled(landings, -5)),
        arms={
            "L": keyed_arm(
                times, flexion=_scaled(landings, -21, 4), elbow=_scaled(landings, -9, 22), abduction=((0, 9),)
            ),
            "R": keyed_arm(
                times, flexion=_scaled(landings, 21, 4), elbow=_scaled(landings, 9, 22), abduction=((0, 9),)
            ),
        },
    )


def _gait_zmp(start: dict[Side, Placement], steps: Sequence[Step]) -> list[tuple[float, Tensor]]:
    """Keys of the zero-moment point of a walk.

    It rolls from the heel to the ball of the supporting foot while the other one swings, and crosses over while both
    stand; the trailing heel rises during the crossing, so by then the pressure has to be under the toes.
    """
    keys = [(steps[0].lift - 0.4, _between(start["L"], start["R"], 0.0))]
    standing = dict(start)
    for step in steps:
        support = standing["R" if step.side == "L" else "L"]
        keys.append((step.lift, support.point(0.03)))
        keys.append((step.land, support.point(0.14 if step is not steps[-1] else 0.06)))
        standing[step.side] = step.place
    return [*keys, (steps[-1].land + 0.35, _between(standing["L"], standing["R"], 0.0))]


SAMPLE_MOTIONS: dict[str, Callable[[], MotionClip]] = {
    "squat_and_wave": squat_and_wave,
    "weight_shift_turn": weight_shift_turn,
    "walk": walk,
}
"""Name of each bundled motion and the function that makes it."""


def _rest_feet() -> tuple[tuple[Side, float], ...]:
    return ("L", _STANCE), ("R", -_STANCE)


def _turned(side: Side, degrees: float) -> Placement:
    """A foot of the rest stance turned about the middle between the feet."""
    yaw, reach = math.radians(degrees), _STANCE + 0.01 if side == "L" else -_STANCE - 0.01
    return Placement(-reach * math.sin(yaw), reach * math.cos(yaw), yaw)


def _over(place: Placement) -> Tensor:
    return place.point(_MID_FOOT)


def _between(left: Placement, right: Placement, shift: float) -> Tensor:
    """Point (2,) m between the feet: ``shift`` 1 is over the left foot, -1 over the right."""
    return 0.5 * ((1.0 + shift) * _over(left) + (1.0 - shift) * _over(right))


def _scaled(keys: Keys, factor: float, rest: float = 0.0) -> Keys:
    return [(time, rest + factor * value) for time, value in keys]


def _zmp(times: Tensor, keys: Sequence[tuple[float, Tensor | tuple[float, float]]]) -> Tensor:
    knots = torch.tensor([time for time, _ in keys], dtype=times.dtype)
    return piecewise_linear(times, knots, torch.stack([torch.as_tensor(at, dtype=times.dtype) for _, at in keys]))
