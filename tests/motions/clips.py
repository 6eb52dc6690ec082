"""Hand-made clips and an independent (SciPy) reading of SMPL poses."""

import numpy as np
import torch
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.robots.smpl_table import BODY_NAMES, SMPL_JOINT_ORDER

SMPL_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
U = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])


def random_pose(num_frames, seed=0, scale=0.6):
    """(T, 72) rad in SMPL order, no hands."""
    pose = np.random.default_rng(seed).normal(0.0, scale, (num_frames, 72))
    pose[:, 66:] = 0.0
    return pose


def global_matrices(pose):
    """(T, 24, 3, 3) world rotations of SMPL's joints in SMPL order, from the definition."""
    rotations = []
    for joint, parent in enumerate(SMPL_PARENTS):
        local = Rotation.from_rotvec(pose[:, 3 * joint : 3 * joint + 3])
        rotations.append(local if parent < 0 else rotations[parent] * local)
    return np.stack([rotation.as_matrix() for rotation in rotations], axis=1)


def upright_matrices(pose):
    """(T, 24, 3, 3) world rotations of our bodies in body order: every SMPL rotation times U."""
    order = [SMPL_JOINT_ORDER.index(name) for name in BODY_NAMES]
    return (global_matrices(pose) @ U)[:, order]


def random_clip(name="walk", num_frames=7, seed=0, fps=30.0, body_names=BODY_NAMES):
    rng = np.random.default_rng(seed)
    rot = rng.normal(size=(num_frames, len(body_names), 4))
    rot /= np.linalg.norm(rot, axis=-1, keepdims=True)
    return MotionClip(
        name=name,
        fps=fps,
        body_names=tuple(body_names),
        root_pos=torch.from_numpy(rng.normal(size=(num_frames, 3))),
        local_rot=torch.from_numpy(rot),
    )


def same_rotation(a, b, tolerance):
    """Quaternion tensors agree up to sign."""
    return bool(((a * b).sum(-1).abs() > 1 - tolerance).all())


def one_line(error):
    """The message of an InputError, which must be a single line with three parts."""
    text = str(error.value)
    assert "\n" not in text
    assert error.value.where
    assert error.value.fault
    assert error.value.remedy
    return text


def damage(data, content):
    """``content`` with up to three bytes changed and perhaps its end cut off, drawn by hypothesis."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    return bytes(content)


def load_or_refuse(load, path):
    """The result of ``load(path)``, or None where it raised InputError in one line; anything else is a bug."""
    error = None
    try:
        return load(path)
    except InputError as caught:
        error = caught
    assert "\n" not in str(error)
    return None
