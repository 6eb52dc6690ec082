"""Looking motions up by time, against a frame-by-frame computation in NumPy and SciPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation, Slerp

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.ground import lowest_point
from puffer_phc.motions.library import MotionLibrary
from puffer_phc.robots.smpl import smpl_robot

ROBOT = smpl_robot()
PARENTS = ROBOT.skeleton.parents
OFFSETS = ROBOT.model.body_pos[1:]
BODIES, DOFS = 24, 69
ATOL = 2e-4  # of velocities up to 30 rad/s held in float32


def smooth_clip(num_frames=20, fps=30.0, seed=0, where=0.0, turn=0.1):
    """A random walk in all joints; the root starts at x = ``where``."""
    rng = np.random.default_rng(seed)
    rotvec = np.cumsum(rng.normal(0.0, turn, (num_frames, BODIES, 3)), axis=0)
    rot = Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_quat(scalar_first=True).reshape(num_frames, BODIES, 4)
    rot *= rng.choice([-1.0, 1.0], (num_frames, BODIES, 1))  # a rotation has two quaternions
    root = np.cumsum(rng.normal(0.0, 0.03, (num_frames, 3)), axis=0) + np.array([where, 0.0, 1.0])
    return MotionClip(f"clip{seed}", fps, ROBOT.body_names, torch.from_numpy(root.copy()), torch.from_numpy(rot.copy()))


class Reference:
    """The clip's frames, computed one by one."""

    def __init__(self, clip):
        self.clip, frames = clip, clip.num_frames
        local = clip.local_rot.numpy()
        self.local = [Rotation.from_quat(local[:, b], scalar_first=True) for b in range(BODIES)]
        self.rot = [self.local[0]]
        pos = np.zeros((frames, BODIES, 3))
        pos[:, 0] = clip.root_pos
        for body in range(1, BODIES):
            parent = PARENTS[body]
            self.rot.append(self.rot[parent] * self.local[body])
            pos[:, body] = pos[:, parent] + self.rot[parent].apply(OFFSETS[body])
        self.pos = pos
        self.vel = gaussian_filter1d(np.gradient(pos, axis=0) * clip.fps, 2.0, axis=0, mode="nearest")
        spin = np.zeros((frames, BODIES, 3))
        joint = np.zeros((frames, BODIES - 1, 3))
        for body in range(BODIES):
            world, own = self.rot[body], self.local[body]
            spin[:-1, body] = (world[1:] * world[:-1].inv()).as_rotvec() * clip.fps
            if body:
                joint[:-1, body - 1] = (own[:-1].inv() * own[1:]).as_rotvec() * clip.fps
        joint[-1] = joint[-2]
        self.ang_vel = gaussian_filter1d(spin, 2.0, axis=0, mode="nearest")
        self.dof_vel = joint.reshape(frames, DOFS)

    def at(self, time):
        """pos, rot, vel, ang_vel, local_rot, dof_vel at a time."""
        frame = np.clip(time * self.clip.fps, 0.0, self.clip.num_frames - 1)
        before = min(int(frame), self.clip.num_frames - 2)
        blend = frame - before

        def lerp(table):
            return (1 - blend) * table[before] + blend * table[before + 1]

        def slerp(rotations):
            return np.stack([Slerp([0, 1], r[before : before + 2])(blend).as_matrix() for r in rotations])

        return (
            lerp(self.pos),
            slerp(self.rot),
            lerp(self.vel),
            lerp(self.ang_vel),
            slerp(self.local),
            lerp(self.dof_vel),
        )


def matrices(quats):
    return Rotation.from_quat(quats.reshape(-1, 4).double().numpy(), scalar_first=True).as_matrix().reshape(-1, 3, 3)


def check(state, row, expected):
    pos, rot, vel, ang_vel, local_rot, dof_vel = expected
    np.testing.assert_allclose(state.body_pos[row], pos, rtol=0, atol=1e-5)
    np.testing.assert_allclose(matrices(state.body_rot[row]), rot, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state.body_vel[row], vel, rtol=0, atol=ATOL)
    np.testing.assert_allclose(state.body_ang_vel[row], ang_vel, rtol=0, atol=ATOL)
    np.testing.assert_allclose(matrices(state.local_rot[row]), local_rot, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state.dof_vel[row], dof_vel, rtol=0, atol=ATOL)


def at(library, clip, *times):
    return library.state_at(torch.full((len(times),), clip), torch.tensor(times, dtype=torch.float32))


CLIPS = [smooth_clip(20, 30.0, 0), smooth_clip(5, 60.0, 1, 10.0), smooth_clip(33, 25.0, 2, 20.0)]
REFERENCES = [Reference(clip) for clip in CLIPS]
LIBRARY = MotionLibrary(CLIPS, ROBOT, height_fix="off")
STORED = {storage: MotionLibrary(CLIPS, ROBOT, storage=storage) for storage in ("full", "compact")}


def test_tables_of_the_clips():
    assert LIBRARY.names == ("clip0", "clip1", "clip2")
    assert LIBRARY.num_clips == 3
    assert LIBRARY.num_frames.tolist() == [20, 5, 33]
    torch.testing.assert_close(LIBRARY.duration, torch.tensor([19 / 30, 4 / 60, 32 / 25]))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-0.2, 1.5)), min_size=1, max_size=4))
def test_between_frames_it_is_lerp_and_slerp(queries):
    ids, times = (torch.tensor(x) for x in zip(*queries, strict=True))
    state = LIBRARY.state_at(ids, times.float())
    for row, (clip, time) in enumerate(zip(ids.tolist(), times.float().tolist(), strict=True)):
        check(state, row, REFERENCES[clip].at(time))


@pytest.mark.parametrize("clip", [0, 1, 2])
def test_every_frame_is_hit_exactly(clip):
    frames = torch.arange(CLIPS[clip].num_frames)
    state = LIBRARY.state_at(torch.full_like(frames, clip), frames / CLIPS[clip].fps)
    torch.testing.assert_close(state.local_rot, CLIPS[clip].local_rot.float(), rtol=0, atol=0)
    torch.testing.assert_close(state.root_pos, CLIPS[clip].root_pos.float(), rtol=0, atol=0)
    for row in range(CLIPS[clip].num_frames):
        check(state, row, REFERENCES[clip].at(row / CLIPS[clip].fps))


@pytest.mark.parametrize("storage", STORED)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-3, 400)), min_size=1, max_size=8))
def test_told_that_times_are_frames_it_finds_the_same_ones(storage, queries):
    library = STORED[storage]
    ids, frames = (torch.tensor(x) for x in zip(*queries, strict=True))
    times = frames / library.fps[ids] * (1 + 3e-7)  # as sums of control steps come out
    assert library._moment(ids, times, True).blend is None
    for told, found in zip(library.state_at(ids, times, True), library.state_at(ids, times), strict=True):
        torch.testing.assert_close(told, found, rtol=0, atol=2e-4)
    for told, found in zip(library.bodies_at(ids, times, True), library.bodies_at(ids, times), strict=True):
        torch.testing.assert_close(told, found, rtol=0, atol=2e-4)
    told, found = library.dof_pos_at(ids, times, True), library.dof_pos_at(ids, times)
    torch.testing.assert_close(told, found, rtol=0, atol=2e-4)


@pytest.mark.parametrize("clip", [0, 1, 2])
def test_outside_a_clip_its_ends_hold(clip):
    duration = CLIPS[clip].duration
    state = at(LIBRARY, clip, -1.0, 0.0, duration, duration + 1e-3, duration + 100.0)
    for row, frame in enumerate((0, 0, -1, -1, -1)):
        torch.testing.assert_close(state.root_pos[row], CLIPS[clip].root_pos[frame].float(), rtol=0, atol=1e-6)
        np.testing.assert_allclose(state.body_vel[row], REFERENCES[clip].vel[frame], rtol=0, atol=ATOL)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(5, 12), st.sampled_from([24.0, 29.97, 30.0, 120.0])), min_size=2, max_size=4, unique=True
    ),
    st.data(),
)
def test_packed_clips_never_bleed_into_each_other(shapes, data):
    """Neighbours are 30 m apart, so any mixture shows."""
    clips = [smooth_clip(n, fps, seed, 30.0 * seed) for seed, (n, fps) in enumerate(shapes)]
    packed = MotionLibrary(clips, ROBOT)
    ids = torch.tensor(data.draw(st.lists(st.integers(0, len(clips) - 1), min_size=1, max_size=6)))
    times = torch.tensor([data.draw(st.floats(-0.1, 0.6)) for _ in ids])
    state = packed.state_at(ids, times)
    for row, clip in enumerate(ids.tolist()):
        alone = MotionLibrary([clips[clip]], ROBOT).state_at(torch.tensor([0]), times[row : row + 1])
        for a, b in zip(alone, state, strict=True):
            torch.testing.assert_close(a[0], b[row], rtol=0, atol=3e-5)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-0.1, 1.4)), min_size=1, max_size=5), st.booleans())
def test_the_smaller_queries_are_parts_of_the_whole(queries, on_frames):
    ids, times = (torch.tensor(x) for x in zip(*queries, strict=True))
    times = times.float()
    if on_frames:
        times = (times * LIBRARY.fps[ids]).round() / LIBRARY.fps[ids]
    state = LIBRARY.state_at(ids, times)
    for a, b in zip(LIBRARY.bodies_at(ids, times), state.bodies, strict=True):
        assert torch.equal(a, b)
    dof_pos = LIBRARY.dof_pos_at(ids, times)
    assert dof_pos.shape == (len(ids), DOFS)
    torch.testing.assert_close(dof_pos, ROBOT.dof_from_local_rot(state.local_rot), rtol=0, atol=1e-5)


def test_times_of_long_clips_still_meet_their_frames():
    """100 s at 30 fps: k / 30 in float32 is up to a few 1e-4 frames off, yet frame k is meant."""
    clip = smooth_clip(3001, 30.0, 3, turn=0.01)
    library = MotionLibrary([clip], ROBOT, height_fix="off")
    frames = torch.tensor([15, 22, 1023, 2047, 2999])
    times = 0.5 + (frames - 15) * torch.tensor(1 / 30)
    state = library.state_at(torch.zeros_like(frames), times)
    torch.testing.assert_close(state.root_pos, clip.root_pos[frames].float(), rtol=0, atol=0)


def lowest(library, clip):
    frames = int(library.num_frames[clip])
    bodies = library.bodies_at(torch.full((frames,), clip), torch.arange(frames) / library.fps[clip])
    return lowest_point(ROBOT.geoms, bodies.pos, bodies.rot)


def test_height_fixes():
    sunk = [replace(clip, root_pos=clip.root_pos - torch.tensor([0.0, 0.0, 0.5])) for clip in CLIPS]
    assert lowest(MotionLibrary(sunk, ROBOT, height_fix="off"), 0).min() < -0.1
    contact = MotionLibrary(sunk, ROBOT, height_fix="contact")
    for clip in range(3):
        heights = lowest(contact, clip)
        assert heights.min() > -1e-5
        assert heights.min() < 0.05
    first = MotionLibrary(sunk, ROBOT, height_fix="first_frames")
    for clip in range(3):
        assert float(lowest(first, clip)[:30].min()) == pytest.approx(0.0, abs=1e-5)


def test_a_height_fix_of_one_number_leaves_velocities_alone():
    state = at(MotionLibrary(CLIPS, ROBOT, height_fix="first_frames"), 2, 0.3)
    expected = REFERENCES[2].at(float(torch.tensor(0.3)))
    np.testing.assert_allclose(state.body_vel[0], expected[2], rtol=0, atol=ATOL)
    np.testing.assert_allclose(state.body_pos[0, :, :2], expected[0][:, :2], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("Root", *ROBOT.body_names[1:]), "missing Pelvis.*unknown Root"),
        ((*ROBOT.body_names[:1], *ROBOT.body_names[2:], "L_Hip"), "body 1 is L_Knee where the robot has L_Hip"),
    ],
)
def test_clips_of_other_bodies_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        MotionLibrary([CLIPS[0], replace(CLIPS[1], body_names=names)], ROBOT)
