"""The exported folder performing its motions in plain MuJoCo."""

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from puffer_phc.config import ROOT
from puffer_phc.deployment.sim2sim import Deployment, choose_clips, describe, run
from puffer_phc.errors import InputError

BANNED = ("torch", "poselib", "gymtorch", "puffer_phc.training", "puffer_phc.policies", "puffer_phc.robots")
BANNED = (*BANNED, "puffer_phc.envs.humanoid_phc", "puffer_phc.envs.observations", "puffer_phc.config")
ALONE = """
import sys
for name in {banned!r}:
    sys.modules[name] = None  # importing it fails
from puffer_phc.deployment.sim2sim import main
code = main()
ours = [name for name in sys.modules if name.startswith(("torch", "puffer_phc.")) and sys.modules[name]]
allowed = ("puffer_phc.deployment", "puffer_phc.errors", "puffer_phc.viewers", "puffer_phc.envs.registry")
assert not [name for name in ours if name != "puffer_phc.envs" and not name.startswith(allowed)], ours
sys.exit(code)
"""


def command(*arguments):
    """The command line where neither torch nor training code can be imported."""
    call = [sys.executable, "-c", ALONE.format(banned=BANNED), *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize("kind", ["mlp", "lstm", "absolute"])
def test_the_same_time_step_gives_the_trainers_result(make_exported, kind):
    """Same model, same step, same protocol: what is left is the rounding of text and of float32."""
    exported = make_exported(kind)
    deployment = Deployment(exported.folder, timestep=0)
    assert deployment.plant.timestep == 1 / 60
    for clip, theirs in enumerate(deployment.metadata.evaluation):
        ours = deployment.perform(deployment.motion(clip))
        assert (ours.name, ours.frames, ours.success) == (theirs.name, theirs.frames, theirs.success)
        assert abs(ours.played_steps - theirs.played_steps) <= 1
        assert ours.mpjpe_g == pytest.approx(theirs.mpjpe_g, abs=0.5, rel=0.01)
        assert 5 < ours.mpjpe_g < 400


def test_bodies_stay_with_the_trainers_step_by_step(make_exported):
    exported = make_exported("mlp")
    env, policy = exported.env, exported.policy
    deployment = Deployment(exported.folder, timestep=0)
    motion = deployment.motion(1)
    obs, fresh = env.play_clips(torch.ones(4, dtype=torch.long)), torch.zeros(4, dtype=torch.bool)
    positions = []
    for _ in range(8):
        with torch.no_grad():
            bodies, _ = env.track(policy.act(obs, policy.initial_state(4), fresh)[0])
        positions.append(bodies.pos[0].numpy().copy())
        obs = env.obs
    seen = []
    deployment.perform(motion, lambda *_: seen.append(deployment.plant.bodies().pos[0]))
    np.testing.assert_allclose(seen[:8], positions, atol=2e-4)


def test_half_the_time_step_is_the_default_and_tracks_alike(make_exported):
    deployment = Deployment(make_exported("mlp").folder)
    assert (deployment.plant.timestep, deployment.plant.substeps) == (1 / 120, 4)
    theirs = deployment.metadata.evaluation[0]
    ours = deployment.perform(deployment.motion(0))
    assert ours.success == theirs.success
    assert ours.mpjpe_g != theirs.mpjpe_g
    assert ours.mpjpe_g == pytest.approx(theirs.mpjpe_g, rel=0.3)
    assert len(ours.error) == ours.played_steps
    assert 0 < ours.torque.mean < ours.torque.peak


def test_a_lost_clip_is_counted_up_to_its_loss(make_exported, tmp_path):
    """With a limit of two centimetres the first frames are lost; the failing one does not count."""
    folder = make_exported("mlp").folder
    deployment = Deployment(edited(folder, tmp_path / "near", termination_distance=0.02), timestep=0)
    whole = Deployment(edited(folder, tmp_path / "far", termination_distance=100.0), timestep=0)
    ours, full = deployment.perform(deployment.motion(0)), whole.perform(whole.motion(0))
    assert full.success
    assert not ours.success
    assert 0 < ours.played_steps < full.played_steps
    np.testing.assert_array_equal(ours.error, full.error[: ours.played_steps])


def edited(folder, tmp_path, **changes):
    """A copy of an exported folder whose metadata say something else."""
    target = tmp_path / "edited"
    shutil.copytree(folder, target)
    text = json.dumps({**json.loads((folder / "metadata.json").read_text()), **changes})
    (target / "metadata.json").write_text(text)
    model = onnx.load(target / "policy.onnx")
    model.metadata_props[0].value = text
    onnx.save(model, target / "policy.onnx")
    return target


def test_no_torch_and_no_training_code(make_exported):
    """The command line runs where importing them fails, and tells both errors."""
    result = command(make_exported("mlp").folder, "--clip", "walk")
    assert result.returncode in (0, 1), result.stderr  # 1 where the clip was lost
    assert not result.stderr
    assert "physics at 0.00833333 s x 4, trained at 0.0166667 s x 2" in result.stdout
    assert "trainer's evaluation:" in result.stdout
    assert "this robot has no torque limits" in result.stdout


def test_a_video_needs_no_torch_either(make_exported, tmp_path):
    result = command(make_exported("mlp").folder, "--clip", "1", "--video", tmp_path / "out.mp4")
    if result.returncode == 2 and "OpenGL" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert result.returncode in (0, 1), result.stderr
    assert (tmp_path / "out.mp4").stat().st_size > 5000


def test_faults_are_one_line(make_exported, tmp_path):
    result = command(tmp_path / "nowhere")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_files_that_do_not_fit_are_told(make_exported, tmp_path):
    folder = tmp_path / "e"
    shutil.copytree(make_exported("mlp").folder, folder)
    for name in ("motions.npz", "robot.xml", "metadata.json", "policy.onnx"):
        (folder / name).rename(folder / "aside")
        with pytest.raises(InputError, match=name):
            Deployment(folder)
        (folder / "aside").rename(folder / name)
    (folder / "metadata.json").write_text((make_exported("absolute").folder / "metadata.json").read_text())
    with pytest.raises(InputError, match=r"differs from what policy\.onnx carries"):
        Deployment(folder)


def test_onnx_files_of_others_are_told(make_exported, tmp_path):
    folder = tmp_path / "e"
    shutil.copytree(make_exported("mlp").folder, folder)
    model = onnx.load(folder / "policy.onnx")
    del model.metadata_props[:]
    onnx.save(model, folder / "policy.onnx")
    with pytest.raises(InputError, match="carries no metadata of this program"):
        Deployment(folder)
    (folder / "policy.onnx").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is no readable ONNX file"):
        Deployment(folder)


def test_a_graph_of_another_size_is_told(make_exported, tmp_path):
    data = json.loads((make_exported("mlp").folder / "metadata.json").read_text())
    folder = edited(make_exported("mlp").folder, tmp_path, observation={**data["observation"], "size": 105})
    with pytest.raises(InputError, match=r"'obs': 934.*its metadata say .*'obs': 105"):
        Deployment(folder)


def test_motions_of_another_robot_are_told(make_exported, tmp_path):
    folder = make_exported("mlp").folder
    arrays = dict(np.load(folder / "motions.npz"))
    np.savez(tmp_path / "g1.npz", **{**arrays, "robot": np.array("g1")})
    with pytest.raises(InputError, match="is of robot 'g1', the policy of 'smpl'"):
        Deployment(folder, motions=tmp_path / "g1.npz")
    np.savez(tmp_path / "less.npz", **{**arrays, "dof_pos": arrays["dof_pos"][:, :9]})
    with pytest.raises(InputError, match="other bodies or joints"):
        Deployment(folder, motions=tmp_path / "less.npz")


def test_clips_are_chosen_by_name_or_number(make_exported):
    frames = Deployment(make_exported("mlp").folder).frames
    assert [choose_clips(frames, wanted) for wanted in ("", "1", "walk")] == [[0, 1], [1], [0]]
    with pytest.raises(InputError, match="no clip 'x'; use 0 to 1 or one of walk, slow_walk"):
        choose_clips(frames, "x")


def test_the_exit_code_tells_of_lost_clips(make_exported, tmp_path, capsys):
    folder = edited(make_exported("mlp").folder, tmp_path, termination_distance=0.02)
    assert run([str(folder), "--clip", "0"]) == 1
    assert "lost after" in capsys.readouterr().out


def test_limits_are_reported(make_exported, tmp_path):
    data = json.loads((make_exported("mlp").folder / "metadata.json").read_text())
    robot = {**data["robot"], "torque_limit": [1e-3] + [None] * 68}
    deployment = Deployment(edited(make_exported("mlp").folder, tmp_path, robot=robot))
    lines = describe(deployment.perform(deployment.motion(0)), None)
    assert any(line.endswith("of the time (L_Hip_x, the worst joint)") for line in lines)
