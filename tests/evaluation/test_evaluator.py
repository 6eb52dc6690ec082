"""The evaluation protocol on a real environment, against playing the clips by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from puffer_phc.config import ROOT, Config
from puffer_phc.evaluation.evaluator import Evaluator
from puffer_phc.factory import make_env, make_robot
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.motions.loading import load_motions
from puffer_phc.policies.actor_critic import ActorCritic, PolicyConfig

DT = 1 / 30
CFG = Config()
FRAMES = (16, 6, 11, 9, 6)  # of the clips, on purpose not sorted


@pytest.fixture(scope="module")
def robot():
    return make_robot(CFG)


@pytest.fixture(scope="module")
def walk():
    return load_motions(ROOT / "sample_data" / "walk.npz")[0]


def cut(walk, frames, first=0, fps=None, name="clip"):
    part = slice(first, first + frames)
    return replace(walk, name=name, fps=fps or walk.fps, root_pos=walk.root_pos[part], local_rot=walk.local_rot[part])


def make_evaluator(robot, clips, num_envs, distance=0.5):
    library = MotionLibrary(clips, robot)
    cfg = replace(CFG, base=replace(CFG.base, threads=1))
    return Evaluator(make_env(cfg, robot, library, num_envs, torch.device("cpu"), seed=0), distance)


@pytest.fixture(scope="module")
def clips(walk):
    return [cut(walk, frames, 7 * index, name=f"clip{index}") for index, frames in enumerate(FRAMES)]


def policy_of(action, kind="mlp"):
    """Always the same action (69,), whatever it observes."""
    torch.manual_seed(0)
    policy = ActorCritic(934, 69, PolicyConfig(kind=kind, lstm_size=4), (8,))
    torch.nn.init.zeros_(policy.mean_head.weight)
    with torch.no_grad():
        policy.mean_head.bias.copy_(torch.as_tensor(action).expand(69))
    return policy


STILL, WILD = policy_of(0.0), policy_of(1.0)


def test_metrics_are_those_of_the_played_frames(robot, clips):
    """Positions collected step by step give the same errors, to the rounding of the mean."""
    evaluator = make_evaluator(robot, clips, 1)
    _, results = evaluator.run(STILL)
    env = make_evaluator(robot, clips, 1).env
    for clip, result in enumerate(results):
        env.play_clips(torch.tensor([clip]))
        errors, local = [], []
        for _ in range(FRAMES[clip] - 1):
            bodies, reference = env.track(torch.zeros(1, 69))
            pos, ref = (state.pos[0].double().numpy() for state in (bodies, reference))
            errors.append(1e3 * np.linalg.norm(pos - ref, axis=-1).mean())
            local.append(1e3 * np.linalg.norm((pos - pos[0]) - (ref - ref[0]), axis=-1).mean())
        assert result.success
        assert result.frames == result.played_steps == FRAMES[clip] - 1
        np.testing.assert_allclose(result.metrics["mpjpe_g"], errors, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(result.metrics["mpjpe_l"], local, rtol=1e-4, atol=1e-3)
        assert len(result.metrics["rot_error"]) == FRAMES[clip] - 1
        assert result.metrics["mpjpe_g"][0] > 0


def test_the_reference_is_that_of_the_same_moment(robot, walk):
    """After k steps the reference is the clip at k control steps: its speed shows a shift of one step."""
    clip = cut(walk, 12)
    evaluator = make_evaluator(robot, [clip], 1)
    env = evaluator.env
    env.play_clips(torch.tensor([0]))
    for step in range(1, 6):
        _, reference = env.track(torch.zeros(1, 69))
        expected = env.library.state_at(torch.tensor([0]), torch.tensor([step * DT])).body_pos
        torch.testing.assert_close(reference.pos, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("num_envs", [2, 3, 8])
def test_every_clip_once_however_many_environments(robot, clips, num_envs):
    """More clips than environments, or fewer: results are those of each clip alone, in the library's order."""
    progress = []
    summary, results = make_evaluator(robot, clips, num_envs).run(STILL, lambda *seen: progress.append(seen))
    _, alone = make_evaluator(robot, clips, 1).run(STILL)
    assert [result.name for result in results] == [clip.name for clip in clips]
    assert [result.frames for result in results] == [frames - 1 for frames in FRAMES]
    for mine, theirs in zip(results, alone, strict=True):
        assert (mine.success, mine.played_steps) == (theirs.success, theirs.played_steps)
        for name, values in theirs.metrics.items():
            np.testing.assert_allclose(mine.metrics[name], values, rtol=1e-3, atol=1e-2, err_msg=name)
    assert summary["clips"] == len(clips)
    assert summary["frames"] == sum(frames - 1 for frames in FRAMES)
    assert progress[-1] == (len(clips), len(clips))
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)


@pytest.mark.parametrize(
    ("fps", "frames", "steps"),
    [(30.0, 6, 5), (30.0, 181, 180), (60.0, 11, 5), (120.0, 41, 10), (25.0, 26, 30), (15.0, 6, 10), (120.0, 5, 1)],
)
def test_steps_of_a_clip(robot, walk, fps, frames, steps):
    """Its duration in control steps, without one more for rounding; at least one."""
    assert make_evaluator(robot, [cut(walk, frames, fps=fps)], 1).num_steps(0) == steps


@pytest.mark.parametrize(("fps", "frames"), [(30.0, 9), (100.0, 25), (29.97, 20), (120.0, 22), (50.0, 13)])
def test_training_ends_a_clip_after_as_many_steps(robot, walk, fps, frames):
    evaluator = make_evaluator(robot, [cut(walk, frames, fps=fps)], 1)
    env = evaluator.env
    env.task.cfg = replace(env.task.cfg, termination_distance=1e3)
    env.reset()
    env.play_clips(torch.tensor([0]))
    ends = [bool(env.step(torch.zeros(1, 69))[3]) for _ in range(evaluator.num_steps(0))]
    assert ends == [False] * (len(ends) - 1) + [True]


def test_failing_is_seen_and_ends_what_counts(robot, walk):
    clip = cut(walk, 91)
    evaluator = make_evaluator(robot, [clip, cut(walk, 6, name="short")], 2)
    summary, (result, short) = evaluator.run(WILD)
    assert not result.success
    assert 0 < result.played_steps < result.frames == 90
    assert short.success, "five steps are too few to fall"
    assert summary["success_rate"] == 0.5
    assert not summary["no_success"]

    env = make_evaluator(robot, [clip], 1).env
    judged = torch.tensor([env.robot.body_names.index(name) for name in env.robot.body_sets["evaluation"]])
    assert len(judged) == 20
    env.play_clips(torch.tensor([0]))
    distances = []
    for _ in range(90):
        bodies, reference = env.track(torch.ones(1, 69))
        distances.append(float((bodies.pos - reference.pos)[0, judged].norm(dim=-1).mean()))
        if distances[-1] > 0.5:
            break
    assert result.played_steps == len(distances) - 1, "frames before the one that failed"
    assert len(result.metrics["mpjpe_g"]) == result.played_steps
    assert len(result.metrics["vel_dist"]) == result.played_steps - 1
    assert len(result.metrics["accel_dist"]) == result.played_steps - 2


def test_failing_at_once_still_has_numbers(robot, clips):
    """A limit that the first step exceeds: one frame is scored, and the summary is finite."""
    summary, results = make_evaluator(robot, clips, 2, distance=1e-6).run(WILD)
    assert [result.played_steps for result in results] == [0] * len(clips)
    assert not any(result.success for result in results)
    assert summary["no_success"]
    assert summary["success_rate"] == 0
    assert np.isfinite(summary["mpjpe_all"])


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_the_same_numbers_twice(robot, clips, kind):
    """Nothing is left of the first run: no noise, no state, no place in a clip."""
    torch.manual_seed(0)
    policy = ActorCritic(934, 69, PolicyConfig(kind=kind, lstm_size=4), (8,))
    torch.nn.init.normal_(policy.mean_head.weight, std=0.2)
    evaluator = make_evaluator(robot, clips, 2)
    _, first = evaluator.run(policy)
    evaluator.run(WILD)
    torch.manual_seed(1)
    _, second = evaluator.run(policy)
    for mine, theirs in zip(first, second, strict=True):
        for name, values in theirs.metrics.items():
            np.testing.assert_array_equal(mine.metrics[name], values, err_msg=name)


def test_evaluating_changes_no_policy(robot, clips):
    before = {name: tensor.clone() for name, tensor in STILL.state_dict().items()}
    make_evaluator(robot, clips, 2).run(STILL)
    assert all(torch.equal(tensor, before[name]) for name, tensor in STILL.state_dict().items())


def test_recordings(robot, walk):
    clips = [cut(walk, 9), cut(walk, 61, name="long")]
    evaluator = make_evaluator(robot, clips, 2)
    whole = evaluator.record(STILL, 0)
    assert (whole.name, whole.success) == ("clip", True)
    assert whole.simulated.shape == whole.reference.shape == (9, robot.model.nq)  # the start and 8 steps
    torch.testing.assert_close(whole.simulated[0], whole.reference[0], atol=1e-5, rtol=0)
    _, (result, _) = evaluator.run(STILL)
    np.testing.assert_allclose(whole.error[1:], result.metrics["mpjpe_g"], rtol=1e-3, atol=1e-2)

    lost = evaluator.record(WILD, 1)
    _, (_, result) = evaluator.run(WILD)
    assert (lost.name, lost.success) == ("long", False)
    assert len(lost.simulated) == len(lost.error) == result.played_steps + 2  # the start, and the failing frame


def test_crops_of_puffer_phc(robot, walk):
    """At most 300 frames from a start that the seed decides; the reference goes on from there."""
    env = make_evaluator(robot, [replace(walk, name="slow", fps=10.0), cut(walk, 20)], 2).env  # 19.1 s
    evaluator = Evaluator(env, 0.5, protocol="puffer", seed=4)
    assert [evaluator.num_steps(clip) for clip in (0, 1)] == [299, 19]
    start = float(evaluator._start[0])
    assert 0 < start <= 19.1 - 299 / 30
    assert start != float(Evaluator(env, 0.5, protocol="puffer", seed=5)._start[0])
    assert float(evaluator._start[1]) == 0
    recording = evaluator.record(STILL, 0, seconds=0.2)
    assert len(recording.simulated) == 7
    expected = env.library.state_at(torch.zeros(7, dtype=torch.long), start + torch.arange(7) * DT).root_pos
    torch.testing.assert_close(recording.reference[:, :3], expected.double(), atol=1e-4, rtol=0)
