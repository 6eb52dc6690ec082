"""The exported motions against the library they come from."""

import numpy as np
import pytest
import torch

from puffer_phc.deployment.export import frames_of
from puffer_phc.deployment.motions import Motion, load_frames
from puffer_phc.errors import InputError

TIMES = [-0.2, 0.0, 1e-3, 1 / 30, 0.0333334, 0.25, 0.41, 0.79, 0.7916667, 1.0, 3.0]


@pytest.mark.parametrize("clip", [0, 1])
@pytest.mark.parametrize("time", TIMES)
def test_lookup_is_the_librarys(library, robot, clip, time):
    motion = Motion(frames_of(library, robot, 2), clip, robot.model)
    where = torch.tensor([clip]), torch.tensor([time])
    for ours, theirs in zip(motion.bodies_at(time), library.bodies_at(*where), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(motion.dof_pos_at(time), library.dof_pos_at(*where), atol=1e-5)


def test_the_start_is_a_reset_of_the_environment(make_exported):
    env = make_exported("mlp").env
    motion = Motion(frames_of(env.library, env.robot, 2), 1, env.robot.model)
    env.play_clips(torch.ones(env.num_envs, dtype=torch.long))
    qpos, qvel = motion.start()
    np.testing.assert_allclose(qpos, env.simulator.qpos()[0], atol=1e-7)
    np.testing.assert_allclose(qvel[6:], env.simulator.dof_vel[0], atol=1e-5)
    assert motion.duration == pytest.approx(float(env.library.duration[1]))


def test_frames_come_back_from_the_file(library, robot, tmp_path):
    frames = frames_of(library, robot, 2)
    frames.save(tmp_path / "motions.npz")
    back = load_frames(tmp_path / "motions.npz")
    assert (back.robot, back.names) == ("smpl", library.names)
    np.testing.assert_array_equal(back.body_rot, frames.body_rot)
    np.testing.assert_array_equal(back.qvel, frames.qvel)


def test_fewer_clips_are_the_first(library, robot):
    frames = frames_of(library, robot, 1)
    assert frames.names == library.names[:1]
    assert len(frames.qpos) == int(library.num_frames[0])


@pytest.mark.parametrize("fault", ["missing", "text", "part", "length", "nan", "pickle"])
def test_damaged_files_are_told(library, robot, tmp_path, fault):
    path = tmp_path / "motions.npz"
    frames_of(library, robot, 2).save(path)
    arrays = dict(np.load(path))
    if fault == "missing":
        path.unlink()
    elif fault == "text":
        path.write_text("no archive")
    elif fault == "part":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        if fault == "length":
            arrays["qvel"] = arrays["qvel"][:-1]
        elif fault == "nan":
            arrays["body_pos"][3, 2, 1] = np.nan
        else:
            arrays["qpos"] = np.array([{"a": 1}], dtype=object)
        np.savez(path, **arrays)
    with pytest.raises(InputError, match=str(path)):
        load_frames(path)
