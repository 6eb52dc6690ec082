"""The task of DeepMimic against formulas of its own, written once more in NumPy, and against hand-made cases."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from small_env import DT, LIBRARY, PHYSICS, Recorder
from small_env import ROBOT as SMPL
from small_style import HUMANOID, sway

from puffer_phc.cli import parse
from puffer_phc.config import ROOT, EnvConfig
from puffer_phc.envs.actions import ActionMap
from puffer_phc.envs.deepmimic import DeepMimicConfig, DeepMimicTask
from puffer_phc.envs.deepmimic_terms import TERM_NAMES, ImitationConfig, imitation_tables, imitation_terms
from puffer_phc.envs.humanoid_phc import HumanoidPHC
from puffer_phc.envs.scene import Scene
from puffer_phc.errors import InputError
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.robots.state import BodyState
from puffer_phc.simulation.mujoco_cpu import MujocoCpu

CPU = torch.device("cpu")
NAMES = HUMANOID.body_names
KEYS = ["head", "right_hand", "left_hand", "right_foot", "left_foot"]
KEY_IDS = [NAMES.index(name) for name in KEYS]
CLIP = sway()
FORWARD = MotionLibrary([CLIP], HUMANOID, height_fix="off", velocity="forward")
TABLES = imitation_tables(HUMANOID, ImitationConfig(), CPU)


def make(envs=4, library=FORWARD, robot=HUMANOID, steps=300, seed=0, start="random", **options):
    """The task deepmimic; actions are joint targets, as MimicKit's are."""
    cfg, env_cfg = DeepMimicConfig(**options), EnvConfig(action_mode="absolute", adaptive=0.0, state_init=start)
    simulator = Recorder(MujocoCpu(robot, envs, PHYSICS, threads=1))
    scene = Scene(robot, simulator, library, DT, cfg.loop)
    return HumanoidPHC(scene, DeepMimicTask(scene, cfg, steps), ActionMap(scene, env_cfg), env_cfg, env_cfg, seed)


def play(env, steps, scale=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        env.step(scale * torch.randn(env.num_envs, env.num_actions, generator=generator))


def rotation(wxyz):
    return Rotation.from_quat(np.roll(np.asarray(wxyz, dtype=float), -1, axis=-1))


def code(rotations):
    """x and z axis, side by side."""
    matrix = rotations.as_matrix()
    return np.concatenate((matrix[..., 0], matrix[..., 2]), axis=-1).ravel()


def joints_of_qpos(qpos):
    """Joint rotations from MuJoCo's positions: three-axis joints are quaternions, knees and elbows angles about y."""
    rotations, at = [], 7
    for body in range(2, HUMANOID.model.nbody):
        count = int(HUMANOID.model.body_dofnum[body])
        if count == 3:
            rotations.append(rotation(qpos[at : at + 4]))
            at += 4
        else:
            rotations.append(Rotation.from_rotvec([0.0, qpos[at] if count else 0.0, 0.0]))
            at += count
    return Rotation.concatenate(rotations)


# --- observation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["global", "heading"])
def test_the_464_numbers(frame):
    """Own state from MuJoCo's positions, targets from the frames of the clip."""
    env = make(frame=frame, phase=True, loop="wrap", floor_contact=False)
    assert (TABLES.self_size(), TABLES.target_size(), env.num_obs) == (140, 108, 464 + 9)
    env.reset()
    play(env, 3)
    qpos = env.simulator.qpos().numpy()
    for row in range(env.num_envs):
        bodies = BodyState(*(tensor[row].numpy() for tensor in env.simulator.bodies))
        root = rotation(bodies.rot[0])
        forward = root.apply([1.0, 0.0, 0.0])
        yaw = np.arctan2(forward[1], forward[0]) if frame == "heading" else 0.0
        turn = Rotation.from_rotvec([0.0, 0.0, -yaw])
        expected = [
            qpos[row, 2:3],
            code(turn * root),
            turn.apply(bodies.vel[0]),
            turn.apply(bodies.ang_vel[0]),
            code(joints_of_qpos(qpos[row])),
            env.simulator.dof_vel[row].numpy(),
            turn.apply(bodies.pos[KEY_IDS] - bodies.pos[0]).ravel(),
        ]
        now = round(float(env.time()[row] / DT))  # the clip, too, has 30 frames a second
        for ahead in (1, 2, 3):
            lap, at = divmod(now + ahead, CLIP.num_frames - 1)
            local = CLIP.local_rot[at].numpy()
            pos, _ = HUMANOID.skeleton.forward_kinematics(CLIP.root_pos[at], CLIP.local_rot[at])
            pos = pos.numpy() + lap * (CLIP.root_pos[-1] - CLIP.root_pos[0]).numpy() * [1.0, 1.0, 0.0]
            offset = pos[0] - bodies.pos[0] * [1.0, 1.0, 0.0]
            expected += [
                turn.apply(offset),
                code(turn * rotation(local[0])),
                code(rotation(local[1:])),
                turn.apply(pos[KEY_IDS] - pos[0]).ravel(),
            ]
        phase = now % (CLIP.num_frames - 1) / (CLIP.num_frames - 1)
        octaves = 2 * np.pi * phase * 2.0 ** np.arange(4)
        expected += [[phase], np.sin(octaves), np.cos(octaves)]
        np.testing.assert_allclose(env.obs[row].numpy(), np.concatenate(expected), atol=2e-4)


def test_targets_follow_the_steps_asked_for():
    far, near = make(tar_obs_steps=(7,)), make(tar_obs_steps=(2, 7, 1))
    assert (far.num_obs, near.num_obs) == (248, 464)
    assert torch.equal(far.reset()[:, 140:], near.reset()[:, 248:356])


def test_an_episode_that_is_cut_short_ends_with_what_would_have_been_seen():
    env = make(steps=4, loop="wrap", floor_contact=False)
    env.reset()
    play(env, 3)
    seen = {}
    task, final = env.task, env.task.final
    env.task.final = lambda which: seen.update(all=task.observe(), rows=final(which)) or seen["rows"]
    play(env, 1)
    assert env.truncated.all()
    assert torch.equal(seen["all"], seen["rows"])
    assert torch.equal(env.final_obs, seen["rows"])
    assert not torch.equal(env.final_obs, env.obs)
    assert task.num_obs == env.final_obs.shape[1]


# --- reward ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("robot", "library"), [(HUMANOID, FORWARD), (SMPL, LIBRARY)], ids=["28 dofs", "SMPL"])
def test_the_reference_itself_is_worth_one(robot, library):
    env = make(library=library, robot=robot)
    env.reset()
    reward, terms = env.task.score()
    torch.testing.assert_close(reward, torch.ones(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(terms, torch.ones(4, 5), atol=1e-4, rtol=0)
    play(env, 3)
    assert (env.reward < 1.0).all()
    assert (env.reward > 0.0).all()
    sizes = env.task.num_obs
    bodies, keys = robot.num_bodies, len(env.task._tables.keys)
    assert sizes == 13 + robot.num_dofs + 4 * 6 * (bodies - 1) + 4 * 3 * keys + 3 * 9


def pose(turned=None, angle=0.0, moved=(0.0, 0.0, 0.0)):
    """Bodies in the clip's tenth frame, with one body turned about its y axis from there."""
    local = CLIP.local_rot[10].clone()
    if turned is not None:
        body = NAMES.index(turned)
        extra = Rotation.from_rotvec([0.0, angle, 0.0])
        local[body] = torch.from_numpy(np.roll((rotation(local[body]) * extra).as_quat(), 1))
    pos, rot = HUMANOID.skeleton.forward_kinematics(CLIP.root_pos[10], local)
    still = torch.zeros(1, len(NAMES), 3)
    return BodyState((pos + torch.tensor(moved)).float()[None], rot.float()[None], still, still.clone())


def terms_of(own, wanted, own_dof=None, **options):
    zero = torch.zeros(1, 28)
    cfg = ImitationConfig(**options)
    reward, terms = imitation_terms(own, zero if own_dof is None else own_dof, wanted, zero, cfg, TABLES)
    return float(reward), dict(zip(TERM_NAMES, terms[0].tolist(), strict=True))


WEIGHTS = {"torso": 1.0, "head": 0.6, "right_upper_arm": 0.6, "left_lower_arm": 0.4, "left_hand": 0.0}
WEIGHTS |= {"right_thigh": 1.0, "left_shin": 0.6, "right_foot": 0.4}


@pytest.mark.parametrize(("body", "weight"), WEIGHTS.items())
def test_a_turned_joint(body, weight):
    own, wanted = pose(body, 0.5), pose()
    reward, terms = terms_of(own, wanted)
    reach = [own.pos[0, i] - own.pos[0, 0] - wanted.pos[0, i] + wanted.pos[0, 0] for i in KEY_IDS]
    expected = dict.fromkeys(TERM_NAMES, 1.0)
    expected["pose"] = np.exp(-0.25 * weight * 0.5**2)
    expected["key_pos"] = np.exp(-10 * sum(float(d @ d) for d in reach))
    assert terms == pytest.approx(expected, abs=1e-5)
    assert reward == pytest.approx(0.5 * expected["pose"] + 0.35 + 0.15 * expected["key_pos"], abs=1e-5)


def test_a_moved_and_turned_root():
    _, terms = terms_of(pose(moved=(0.2, 0.0, -0.1)), pose())
    expected = dict.fromkeys(TERM_NAMES, 1.0) | {"root_pose": np.exp(-5 * 0.05)}
    assert terms == pytest.approx(expected, abs=1e-5)  # key bodies are seen from the root
    _, terms = terms_of(pose("pelvis", 0.3), pose())
    assert terms["root_pose"] == pytest.approx(np.exp(-5 * 0.1 * 0.3**2), abs=1e-5)
    assert terms["pose"] == pytest.approx(1.0, abs=1e-5)
    assert terms["key_pos"] < 0.9


def test_velocities():
    own = pose()
    own.vel[0, 0] = torch.tensor([0.3, 0.0, 0.4])
    own.ang_vel[0, 0] = torch.tensor([0.0, 2.0, 0.0])
    own.vel[0, 1:] = 9.0  # of other bodies: no matter
    dof_vel = torch.zeros(1, 28)
    dof_vel[0, 17], dof_vel[0, 9], dof_vel[0, 3] = 3.0, 2.0, 1.0  # right knee, right elbow, neck
    reward, terms = terms_of(own, pose(), dof_vel)
    expected = dict.fromkeys(TERM_NAMES, 1.0)
    expected["velocity"] = np.exp(-0.01 * (0.6 * 9 + 0.4 * 4 + 0.6 * 1))
    expected["root_velocity"] = np.exp(-(0.25 + 0.1 * 4))
    assert terms == pytest.approx(expected, abs=1e-5)
    assert reward == pytest.approx(0.8 + 0.1 * expected["velocity"] + 0.1 * expected["root_velocity"], abs=1e-5)


def test_weights_and_bodies_are_options():
    reward, _ = terms_of(pose(moved=(9.0, 0.0, 0.0)), pose(), w_root_pose=0.4, w_pose=0.2)
    assert reward == pytest.approx(0.2 + 0.1 + 0.1 + 0.15, abs=1e-5)
    cfg = ImitationConfig(joint_weights=("*_hand=2", "left_*=3"), key_bodies=("torso",))
    tables = imitation_tables(HUMANOID, cfg, CPU)
    expected = [2.0 if "hand" in name else 3.0 if name.startswith("left") else 1.0 for name in NAMES[1:]]
    assert tables.joint_weights[:, 0].tolist() == expected
    assert tables.keys.tolist() == [1]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"joint_weights": ("head",)}, "weight"),
        ({"key_bodies": ("tail",)}, "tail"),
        ({"floor_bodies": ("tail",)}, "tail"),
    ],
)
def test_wrong_bodies_and_weights_are_refused(options, word):
    with pytest.raises(InputError, match=word):
        make(**options)


# --- clips that loop -------------------------------------------------------------------------------------------------


def rising():
    """A cycle that does not quite close: it ends 0.4 m ahead, 0.2 m to the side and 0.3 m higher than it began."""
    end = torch.tensor([0.4, 0.2, 0.3], dtype=torch.float64)
    path = CLIP.root_pos[:1] + torch.linspace(0, 1, CLIP.num_frames, dtype=torch.float64)[:, None] * end
    return MotionLibrary([replace(CLIP, root_pos=path, loops=True)], HUMANOID, height_fix="off")


@pytest.mark.parametrize("loop", ["wrap", "auto"])
def test_laps_go_on_where_the_last_one_ended_but_for_height(loop):
    scene = make(library=rising(), loop=loop).scene
    duration, first = float(scene.library.duration[0]), CLIP.root_pos[0].float()
    none = torch.zeros(3, dtype=torch.long)
    for lap in (1, 2, 5):
        before, at, after = scene.bodies_at(none, lap * duration + torch.tensor([-1e-3, 1e-4, 1e-3])).pos[:, 0]
        step = torch.tensor([0.4, 0.2])
        for place in (before, at, after):
            torch.testing.assert_close(place[:2], first[:2] + lap * step, atol=2e-3, rtol=0)
        assert before[2] - first[2] == pytest.approx(0.3, abs=2e-3)
        assert after[2] - first[2] == pytest.approx(0.0, abs=2e-3)
        state = scene.state_at(none, lap * duration + torch.tensor([0.1, 0.2, 0.3]))
        once = scene.library.state_at(none, torch.tensor([0.1, 0.2, 0.3]))
        torch.testing.assert_close(state.body_pos[..., :2] - once.body_pos[..., :2], (lap * step).expand(3, 15, 2))
        torch.testing.assert_close(state.body_pos[..., 2], once.body_pos[..., 2])
        for mine, theirs in zip(state[1:], once[1:], strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_clips_loop_if_they_or_the_options_say_so():
    mixed = MotionLibrary([CLIP, replace(CLIP, name="cycle", loops=True)], HUMANOID, height_fix="off")
    assert mixed.loops.tolist() == [False, True]
    late = torch.full((2,), 10.0)
    for loop, ended, moves in (
        ("auto", [True, False], [False, True]),
        ("clamp", [True] * 2, [False] * 2),
        ("wrap", [False] * 2, [True] * 2),
    ):
        scene = make(envs=2, library=mixed, loop=loop).scene
        scene.clip_ids.copy_(torch.arange(2))
        scene.start_time.copy_(late)
        assert scene.clip_ended().tolist() == ended
        apart = scene.bodies_at(torch.arange(2), late).pos[:, 0] - mixed.bodies_at(torch.arange(2), late).pos[:, 0]
        assert (apart.norm(dim=-1) > 0.1).tolist() == moves


def test_looping_episodes_last_until_their_time_is_up():
    env = make(library=rising(), steps=90, termination_distance=1e6, floor_contact=False)
    env.reset()
    for step in range(90):
        play(env, 1)
        assert env.truncated.tolist() == [step == 89] * 4
    assert not env.succeeded.any()


# --- ends of episodes ------------------------------------------------------------------------------------------------

SHORT = replace(CLIP, root_pos=CLIP.root_pos[:6], local_rot=CLIP.local_rot[:6])  # five control steps
BRIEF = MotionLibrary([SHORT], HUMANOID, height_fix="off")


@pytest.mark.parametrize(
    ("steps", "fails", "terminated", "truncated", "succeeded"),
    [(300, False, False, True, True), (5, False, False, True, True), (300, True, True, False, False)],
    ids=["success", "success before time", "failure before success"],
)
def test_what_counts_when_a_clip_is_over(steps, fails, terminated, truncated, succeeded):
    env = make(library=BRIEF, steps=steps, start="start", termination_distance=1e6, floor_contact=False)
    env.reset()
    play(env, 4)
    assert not env.done.any()
    if fails:
        env.simulator.poison = slice(None)
    play(env, 1)
    assert env.terminated.tolist() == [terminated] * 4
    assert env.truncated.tolist() == [truncated] * 4
    assert env.succeeded.tolist() == [succeeded] * 4


def test_time_alone_is_no_success():
    env = make(library=BRIEF, steps=4, start="start", termination_distance=1e6, floor_contact=False)
    env.reset()
    play(env, 4)
    assert env.truncated.all()
    assert not env.succeeded.any()
    play(env, 1)
    assert not env.truncated.any()
    assert not env.succeeded.any()


@pytest.mark.parametrize(("distance", "fails"), [(1.0, True), (2.0, False)])
def test_a_body_too_far_away_is_a_failure_but_not_on_the_first_step(distance, fails):
    leap = CLIP.root_pos.clone()
    leap[10:, 0] += 1.5  # m
    library = MotionLibrary([replace(CLIP, root_pos=leap)], HUMANOID, height_fix="off")
    env = make(library=library, start="start", termination_distance=distance)
    env.reset()
    for step, expected in ((1, False), (2, fails)):
        env.start_time.fill_((15 - step) * DT)  # the humanoid stays where the clip began
        env.progress.fill_(step)
        env.task.score()
        assert env.task.failed().tolist() == [expected] * 4


@pytest.mark.parametrize(
    ("options", "fails"),
    [({}, True), ({"floor_contact": False}, False), ({"floor_bodies": ("left_shin", "right_shin")}, False)],
)
def test_only_feet_may_touch_the_floor(options, fails):
    """A clip 0.1 m too low: the shins touch the floor."""
    low = CLIP.root_pos - torch.tensor([0.0, 0.0, 0.1])
    env = make(library=MotionLibrary([replace(CLIP, root_pos=low)], HUMANOID, height_fix="off"), **options)
    env.reset()
    env.progress.fill_(2)
    env.task.score()
    assert env.task.failed().tolist() == [fails] * 4


# --- reference -------------------------------------------------------------------------------------------------------


def test_forward_velocities_are_held_between_frames():
    coarse = replace(CLIP, fps=20.0)
    library = MotionLibrary([coarse], HUMANOID, height_fix="off", velocity="forward")
    frames = torch.tensor([0, 7, 20, CLIP.num_frames - 1])
    state = library.state_at(torch.zeros(4, dtype=torch.long), (frames + torch.tensor([0.0, 0.3, 0.9, 0.0])) / 20)
    before = frames.clamp_max(CLIP.num_frames - 2)  # the last frame repeats the velocity of the one before
    pos, rot = HUMANOID.skeleton.forward_kinematics(CLIP.root_pos, CLIP.local_rot)
    np.testing.assert_allclose(state.body_vel, (pos[before + 1] - pos[before]) * 20, atol=1e-4)
    for row, frame in enumerate(before.tolist()):
        spin = (rotation(rot[frame + 1]) * rotation(rot[frame]).inv()).as_rotvec() * 20
        np.testing.assert_allclose(state.body_ang_vel[row], spin, atol=1e-4)
        dofs = HUMANOID.dof_from_local_rot(CLIP.local_rot[frame : frame + 2])
        assert state.dof_vel[row, 17].item() == pytest.approx(float(dofs[1, 17] - dofs[0, 17]) * 20, abs=1e-4)
    # Positions are interpolated all the same.
    np.testing.assert_allclose(state.body_pos[1, 0], torch.lerp(pos[7, 0], pos[8, 0], 0.3), atol=1e-5)


def test_the_reference_is_that_of_now():
    env = make(loop="wrap")
    env.reset()
    torch.testing.assert_close(env.task.reference.pos, env.simulator.bodies.pos, atol=1e-5, rtol=0)
    _, reference = env.track(torch.zeros(4, 28))
    torch.testing.assert_close(reference.pos, env.scene.bodies_at(env.clip_ids, env.time()).pos)


def test_mimickits_files_say_whether_they_loop(shared_data):
    from puffer_phc.motions.loading import load_motions

    folder = shared_data / "formats" / "mimickit_humanoid"
    loops = {name: load_motions(folder / f"humanoid_{name}.pkl")[0].loops for name in ("spinkick", "kick")}
    assert loops == {"spinkick": True, "kick": False}


# --- recipes ---------------------------------------------------------------------------------------------------------


def test_the_recipe_is_mimickits():
    cfg = parse(["--config", str(ROOT / "configs" / "deepmimic.ini")])
    train, steps = cfg.train, cfg.train.horizon * cfg.env.num_envs
    assert steps == 131_072
    assert steps // train.minibatches == 4 * cfg.env.num_envs
    assert steps // train.critic_minibatches == 2 * cfg.env.num_envs
    assert cfg.robot.timestep * cfg.robot.substeps == pytest.approx(1 / 30)
    policy = ActorCritic(464, 28, cfg.policy, cfg.policy.hidden)
    assert sum(parameter.numel() for parameter in policy.parameters()) == 2_016_797
    assert policy.log_std.exp().tolist() == pytest.approx([0.05] * 28)
    assert all(not layer.bias.any() for layer in policy.modules() if isinstance(layer, torch.nn.Linear))
    assert 0.009 < policy.mean_head.weight.abs().max() <= 0.01


def test_the_fast_recipe_lies_over_it():
    files = [
        argument for name in ("deepmimic", "deepmimic_fast") for argument in ("--config", f"{ROOT}/configs/{name}.ini")
    ]
    cfg = parse(files)
    assert (cfg.env.task, cfg.train.separate, cfg.train.optimizer) == ("deepmimic", False, "adam")
