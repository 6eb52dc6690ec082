"""The task amp: observation, goals, falls, ends of episodes, actions."""

import math

import pytest
import torch
from small_env import DT
from small_style import HUMANOID, make_amp

from poselib.rotations import quat_from_angle_axis, quat_identity
from puffer_phc.envs.falls import fallen, toppled, untouchables
from puffer_phc.envs.goals import GoalConfig, make_goal
from puffer_phc.robots.state import BodyState

CPU = torch.device("cpu")
STILL = torch.zeros(4, 28)


def bodies_of(vel=(0.0, 0.0, 0.0), turn=0.0, yaw=0.0, pos=(0.0, 0.0, 0.9)):
    """One root without limbs."""
    rot = quat_from_angle_axis(torch.tensor([[yaw]]), torch.tensor([0.0, 0.0, 1.0]))
    return BodyState(torch.tensor([[pos]]), rot, torch.tensor([[vel]]), torch.tensor([[[0.0, 0.0, turn]]]))


def reward(name, goal, **state):
    return float(make_goal(GoalConfig(goal=name)).reward(torch.tensor([goal]), bodies_of(**state)))


# --- goals -----------------------------------------------------------------------------------------------------------


def test_alive():
    assert reward("alive", (), vel=(9.0, 0.0, 0.0)) == 1.0


def test_velocity():
    assert reward("velocity", (0.0, 1.0, 1.5), vel=(0.0, 1.5, 0.3)) == pytest.approx(1.0)
    wrong = math.exp(-0.25 * ((1.5 - 1.0) ** 2 + 0.1 * 0.4**2))
    assert reward("velocity", (0.0, 1.0, 1.5), vel=(0.4, 1.0, 0.0)) == pytest.approx(wrong)
    assert reward("velocity", (0.0, 1.0, 1.5), vel=(0.0, -0.1, 0.0)) == 0.0


def test_heading():
    goal = (1.0, 0.0, 1.0, 0.0, 1.0)
    assert reward("heading", goal, vel=(1.0, 0.0, 0.0), yaw=math.pi / 2) == pytest.approx(1.0)
    assert reward("heading", goal, vel=(1.0, 0.0, 0.0), yaw=-math.pi / 2) == pytest.approx(0.7)
    assert reward("heading", goal, vel=(-1.0, 0.0, 0.0), yaw=math.pi / 4) == pytest.approx(0.3 * math.sqrt(0.5))


def test_location():
    assert reward("location", (0.0, 0.0)) == pytest.approx(1.0)
    far = 0.5 * math.exp(-0.5 * 4) + 0.4 + 0.1
    assert reward("location", (2.0, 0.0), vel=(1.3, 0.0, 0.0)) == pytest.approx(far)
    slow = 0.5 * math.exp(-0.5 * 4) + 0.4 * math.exp(-4 * 0.25)
    assert reward("location", (2.0, 0.0), vel=(0.5, 0.0, 0.0), yaw=math.pi) == pytest.approx(slow)


def test_command_errors_do_not_cancel():
    """In the public task the errors along x and y are added before they are squared."""
    assert reward("command", (1.0, 0.2, 0.3), vel=(1.0, 0.2, 0.0), turn=0.3) == pytest.approx(2.0)
    both = reward("command", (1.0, 0.2, 0.3), vel=(1.5, -0.3, 0.0), turn=0.3)
    assert both == pytest.approx(1 + math.exp(-0.5))
    assert reward("command", (1.0, 0.0, 0.0), vel=(0.0, 1.0, 0.0), yaw=math.pi / 2) == pytest.approx(2.0)


def test_goals_are_seen_in_the_heading_frame():
    turned = bodies_of(yaw=math.pi / 2, pos=(1.0, 1.0, 0.9))
    for name, goal, seen in (
        ("velocity", (0.0, 1.0, 1.5), (1.0, 0.0, 1.5)),
        ("heading", (0.0, 1.0, 1.5, -1.0, 0.0), (1.0, 0.0, 1.5, 0.0, 1.0)),
        ("location", (1.0, 4.0), (3.0, 0.0)),
        ("command", (1.0, 0.1, 0.2), (1.0, 0.1, 0.2)),
    ):
        row = make_goal(GoalConfig(goal=name)).observe(torch.tensor([goal]), turned)[0]
        torch.testing.assert_close(row, torch.tensor(seen), atol=1e-6, rtol=0)


def test_drawn_goals_are_in_their_ranges():
    cfg = GoalConfig(speed_min=0.5, speed_max=2.0, goal_distance=3.0, run_share=0.25)
    count = 4000
    bodies = BodyState(*(x.expand(count, *x.shape[1:]) for x in bodies_of(pos=(5.0, 0.0, 0.9))))
    luck = torch.rand(5, count, generator=torch.Generator().manual_seed(0))

    def draw(name):
        goal = make_goal(GoalConfig(**{**vars(cfg), "goal": name}))
        return goal.draw(luck[: goal.num_draws], bodies)

    velocity = draw("velocity")
    torch.testing.assert_close(velocity[:, :2].norm(dim=1), torch.ones(count))
    assert 0.5 <= velocity[:, 2].min() < 0.6
    assert 1.9 < velocity[:, 2].max() < 2.0
    distance = (draw("location") - torch.tensor([5.0, 0.0])).norm(dim=1)
    assert 2.9 < distance.max() <= 3.0
    assert abs(float((distance < 1.5).float().mean()) - 0.25) < 0.03  # evenly over the disc
    command = draw("command")
    running = command[:, 0] >= 2.0
    assert abs(float(running.float().mean()) - 0.25) < 0.03
    assert command[:, 0].max() <= 3.0
    assert (command[~running, 0] <= 1.5).all()
    assert (command[:, 2].abs() <= 1.57).all()
    slow = command[~running].norm(dim=1)
    assert ((slow == 0) | (slow > 0.1)).all()


def test_goals_change_at_a_reset_and_after_their_time():
    env = make_amp(goal="velocity", goal_steps=5, episode_steps=12, fall="never")
    env.reset()
    assert env.num_obs == 108
    for step in range(1, 30):
        before = env.task.goal.clone()
        env.step(STILL)
        changed = (env.task.goal != before).any(dim=1)
        due = step % 12 in (0, 5, 10)
        assert changed.tolist() == [due] * 4, step
        torch.testing.assert_close(env.obs[:, 107], env.task.goal[:, 2])


# --- observation, ends, actions --------------------------------------------------------------------------------------


def test_the_policy_sees_the_present_step_of_the_style():
    env = make_amp()
    env.reset()
    assert (env.num_obs, env.num_actions) == (105, 28)
    assert torch.equal(env.obs, env.style.now)
    env.step(STILL)
    assert torch.equal(env.obs, env.style.now)


def test_time_is_a_truncation():
    env = make_amp(episode_steps=6, fall="never")
    env.reset()
    for step in range(1, 13):
        env.step(STILL)
        assert env.truncated.tolist() == [step % 6 == 0] * 4
        assert not env.terminated.any()
        if env.truncated.any():
            assert torch.equal(env.final_obs, env.style.observed[:, :105])
            assert (env.final_obs - env.obs).abs().max() > 1e-3


def test_a_limp_humanoid_falls():
    env = make_amp(state_init="default")
    env.reset()
    fell = torch.zeros(4, dtype=torch.bool)
    for _ in range(90):
        env.step(STILL + 1.0)
        fell |= env.terminated
        assert not (env.terminated & (env.episode_length <= 1)).any()
    assert fell.all()


def test_actions_span_the_joints():
    """Action 0 bends a knee by 80 degrees, +-1 by 192 and -32."""
    env = make_amp()
    env.reset()
    targets = [math.degrees(float(env.actions(torch.full((4, 28), a))[0, 17])) for a in (0.0, 1.0, -1.0)]
    assert targets == pytest.approx([80.0, 192.0, -32.0], abs=0.01)


# --- falls -----------------------------------------------------------------------------------------------------------


def placed(height, tilt=0.0):
    """The 28-dof humanoid in its standing pose, lifted and rolled."""
    axis = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    root = quat_from_angle_axis(torch.tensor([tilt], dtype=torch.float64), axis)
    local = HUMANOID.local_rot_from_dof(root, HUMANOID.default_dof.double()[None])
    pos, rot = HUMANOID.skeleton.forward_kinematics(torch.tensor([[0.0, 0.0, height]], dtype=torch.float64), local)
    return BodyState(pos.float(), rot.float(), torch.zeros_like(pos).float(), torch.zeros_like(pos).float())


@pytest.mark.parametrize(
    ("height", "tilt", "down"),
    [(0.89, 0.0, False), (0.85, 0.0, False), (0.1, math.pi / 2, True), (1.2, math.pi / 2, False)],
)
def test_a_fall_is_a_touch_of_anything_but_feet(height, tilt, down):
    parts = untouchables(HUMANOID, CPU)
    assert bool(fallen(placed(height, tilt), parts, 0.5)) is down


def test_touching_from_high_up_is_no_fall():
    parts = untouchables(HUMANOID, CPU)
    lying = placed(0.1, math.pi / 2)
    assert bool(fallen(lying, parts, 0.5))
    assert not bool(fallen(lying, parts, float(lying.pos[..., 2].min()) - 0.01))


@pytest.mark.parametrize(
    ("height", "roll", "pitch", "down"),
    [
        (0.8, 0.0, 0.0, False),
        (0.39, 0.0, 0.0, True),
        (1.11, 0.0, 0.0, True),
        (0.8, 0.79, 0.0, False),
        (0.8, 0.81, 0.0, True),
        (0.8, -0.81, 0.0, True),
        (0.8, 0.0, 0.81, True),
        (0.8, 0.0, -0.79, False),
    ],
)
def test_a_pose_out_of_range(height, roll, pitch, down):
    angle, axis = (roll, [1.0, 0.0, 0.0]) if roll else (pitch, [0.0, 1.0, 0.0])
    rot = quat_from_angle_axis(torch.tensor([[angle]]), torch.tensor(axis)) if angle else quat_identity(1, 1)
    zero = torch.zeros(1, 1, 3)
    bodies = BodyState(torch.tensor([[[0.0, 0.0, height]]]), rot, zero, zero)
    assert bool(toppled(bodies, (0.4, 1.1), 0.8)) is down


def test_control_runs_at_thirty_hertz():
    assert make_amp().control_dt == DT
