"""Tiny files of every format, by hand: what is in them is what the tests expect out of them."""

import json
import pickle
import zlib
from collections import OrderedDict

import numpy as np
import torch

from poselib.skeleton import Skeleton
from puffer_phc.motions.formats.g1 import G1_JOINTS, breadth_first_joints, g1_axes, g1_local_rot, g1_skeleton
from puffer_phc.robots.smpl_table import BODY_NAMES, PARENTS, SMPL_BODIES

ASF = """# made by hand
:version 1.10
:name VICON
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
   four bones
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name upper
     direction 1 0 0
     length 2
     axis 0 0 0 XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
     id 2
     name lower
     direction 0 -1 0
     length 3
     axis 0 0 90 XYZ
    dof rx
    limits (-10.0 170.0)
  end
  begin
     id 3
     name tip
     direction 0 0 1
     length 1
     axis 0 0 0 XYZ
  end
  begin
     id 4
     name end_of_tip
     direction 0 0 1
     length 1
     axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root upper
    upper lower
    lower tip
    tip end_of_tip
  end
"""

AMC = "#!OML:ASF x\n:FULLY-SPECIFIED\n:DEGREES\n" + "".join(
    f"{i}\nroot 1 2 3 0 {90 if i > 1 else 0} 0\nupper 0 0 {90 if i > 1 else 0}\nlower {90 if i > 1 else 0}\n"
    for i in range(1, 8)
)

BVH = """HIERARCHY
ROOT a
{
\tOFFSET 0 0 0
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
\tJOINT b
\t{
\t\tOFFSET 2 0 0
\t\tCHANNELS 3 Zrotation Yrotation Xrotation
\t\tJOINT c
\t\t{
\t\t\tOFFSET 0 -3 0
\t\t\tCHANNELS 2 Xrotation Zrotation
\t\t\tEnd Site
\t\t\t{
\t\t\t\tOFFSET 0 0 1
\t\t\t}
\t\t}
\t}
\tJOINT d
\t{
\t\tOFFSET 0 1 0
\t\tCHANNELS 1 Yrotation
\t\tEnd Site
\t\t{
\t\t\tOFFSET 0 1 0
\t\t}
\t}
}
MOTION
Frames: 6
Frame Time: 0.0333333
""" + "".join("1 2 3 90 0 0 0 0 90 90 90 45\n" if i else "1 2 3 0 0 0 0 0 0 0 0 0\n" for i in range(6))


def deepmimic_row(**joints):
    """One frame at (1, 2, 3), all joints at zero but the named ones."""
    widths = {
        "root": 4, "chest": 4, "neck": 4, "right_hip": 4, "right_knee": 1, "right_ankle": 4, "right_shoulder": 4,
        "right_elbow": 1, "left_hip": 4, "left_knee": 1, "left_ankle": 4, "left_shoulder": 4, "left_elbow": 1,
    }  # fmt: skip
    row = [0.05, 1.0, 2.0, 3.0]
    for name, width in widths.items():
        row += joints.get(name, [1.0, 0.0, 0.0, 0.0] if width == 4 else [0.0])
    return row


def deepmimic(rows=None, **fields):
    rows = [deepmimic_row()] * 6 if rows is None else rows
    return json.dumps({"Loop": "none", "Frames": rows} | fields).encode()


def mimickit(rows, fps=30, **fields):
    return pickle.dumps({"loop_mode": 1, "fps": fps, "frames": rows} | fields, protocol=3)


def mimickit_rows(width, frames=6, seed=0):
    rows = np.random.default_rng(seed).normal(0.0, 0.5, (frames, width))
    return rows.tolist()


def poselib(path, names=BODY_NAMES, parents=PARENTS, offsets=None, frames=6, seed=0, protocol=None, **fields):
    """Writes a pose library file; returns its rotations (xyzw) and root places."""
    rng = np.random.default_rng(seed)
    offsets = [row.pos for row in SMPL_BODIES] if offsets is None else offsets
    rotation = rng.normal(size=(frames, len(names), 4)).astype(np.float32)
    rotation /= np.linalg.norm(rotation, axis=-1, keepdims=True)
    root = rng.normal(size=(frames, 3)).astype(np.float32)

    def dressed(array):
        return {"arr": array, "context": {"dtype": array.dtype.name}}

    content = OrderedDict(
        rotation=dressed(rotation),
        root_translation=dressed(root),
        skeleton_tree=OrderedDict(
            node_names=list(names),
            parent_indices=dressed(np.array(parents)),
            local_translation=dressed(np.array(offsets, np.float32)),
        ),
        is_local=True,
        fps=np.array(60, np.int32) if protocol is None else 60,
        __name__="SkeletonMotion",
    )
    content.update(fields)
    if protocol is None:
        np.save(path, np.array(content, dtype=object), allow_pickle=True)
    else:
        header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
        header = header.ljust(117) + b"\n"
        pickled = pickle.dumps(np.array(content, dtype=object), protocol=protocol)
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickled)
    return rotation.astype(float), root.astype(float)


def expmap_row(vectors=None, place=(1.0, 2.0, 3.0)):
    """One line: a root and 38 rotation vectors, zero but for {node: vector}."""
    nodes = np.zeros((38, 3))
    for node, vector in (vectors or {}).items():
        nodes[node] = vector
    return ",".join(f"{value:.9g}" for value in (*place, *nodes.ravel()))


def expmap(rows=None):
    rows = [expmap_row({0: (0.1, 0, 0)})] * 6 if rows is None else rows
    return ("\n".join(rows) + "\n").encode()


def g1_csv(frames=6, seed=0):
    """Bytes of a csv, and root places, root rotations wxyz and joint angles in it."""
    rng = np.random.default_rng(seed)
    place, angles = rng.normal(size=(frames, 3)), rng.normal(size=(frames, 29))
    quats = rng.normal(size=(frames, 4))
    quats /= np.linalg.norm(quats, axis=-1, keepdims=True)
    table = np.concatenate((place, quats[:, [1, 2, 3, 0]], angles), axis=1)
    text = "\n".join(",".join(f"{value:.9f}" for value in row) for row in table)
    return text.encode() + b"\n", place, quats, angles


def g1_npz(path, frames=6, seed=0, breadth_first=True, **changes):
    """Writes BeyondMimic's arrays; returns root places, root rotations and joint angles in tree order."""
    _, place, quats, angles = g1_csv(frames, seed)
    order = list(breadth_first_joints()) if breadth_first else list(range(29))
    local_rot = torch.from_numpy(g1_local_rot(quats, angles))
    pos, rot = g1_skeleton().forward_kinematics(torch.from_numpy(place), local_rot)
    bodies = [0, *(1 + joint for joint in order)]
    arrays = {
        "fps": np.array([50]),
        "joint_pos": angles[:, order],
        "joint_vel": np.zeros((frames, 29)),
        "body_pos_w": pos[:, bodies].numpy(),
        "body_quat_w": rot[:, bodies].numpy(),
    } | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return place, quats, angles


def gmr(frames=6, links=("pelvis", "left_shoulder_pitch_link"), dofs=29, **changes):
    """Bytes of GMR's pickle, and root places, root rotations wxyz and joint angles in it."""
    _, place, quats, angles = g1_csv(frames)
    record = {
        "fps": 30,
        "root_pos": place,
        "root_rot": quats[:, [1, 2, 3, 0]],
        "dof_pos": angles[:, :dofs],
        "local_body_pos": None,
        "link_body_list": list(links),
    } | changes
    return pickle.dumps({key: value for key, value in record.items() if value is not None}), place, quats, angles


def asap(frames=6, axes=None, **changes):
    """Bytes of ASAP's pickle of a G1 without wrists, and root places, root rotations wxyz and joint angles in it."""
    _, place, quats, angles = g1_csv(frames)
    joints = [i for i, name in enumerate(G1_JOINTS) if "wrist" not in name]
    pose = np.zeros((frames, 27, 3))
    pose[:, 1:24] = angles[:, joints, None] * (g1_axes() if axes is None else axes)[joints]
    record = {
        "root_trans_offset": place,
        "pose_aa": pose,
        "dof": angles[:, joints],
        "root_rot": quats[:, [1, 2, 3, 0]],
        "smpl_joints": np.zeros((frames, 24, 3)),
        "fps": 30,
    } | changes
    return zlib.compress(pickle.dumps({"kick": record})), place, quats, angles


def protomotions(path, frames=6, seed=0, **changes):
    """Writes a torch file of the SMPL bodies; returns root places and local rotations wxyz."""
    rng = np.random.default_rng(seed)
    local = torch.from_numpy(rng.normal(size=(frames, 24, 4)))
    local /= local.norm(dim=-1, keepdim=True)
    root = torch.from_numpy(rng.normal(size=(frames, 3)))
    skeleton = Skeleton(BODY_NAMES, PARENTS, torch.tensor([row.pos for row in SMPL_BODIES], dtype=torch.float64))
    pos, rot = skeleton.forward_kinematics(root, local)
    content = {"fps": 30, "rigid_body_pos": pos.float(), "rigid_body_rot": rot[..., [1, 2, 3, 0]].float()} | changes
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return root, local


def make_all(folder):
    """One intact small file of each format in ``folder``: {format: path}."""
    paths = {
        "amc": folder / "walk.amc",
        "bvh": folder / "walk.bvh",
        "deepmimic": folder / "walk.dm.txt",
        "mimickit": folder / "walk.pkl",
        "poselib": folder / "walk.npy",
        "expmap": folder / "walk.expmap.txt",
        "g1_csv": folder / "walk.csv",
        "g1_npz": folder / "robot.npz",
        "robot_pickle": folder / "robot.pkl",
        "proto": folder / "walk.motion",
    }
    (folder / "walk.asf").write_text(ASF)
    paths["amc"].write_text(AMC)
    paths["bvh"].write_text(BVH)
    paths["deepmimic"].write_bytes(deepmimic())
    paths["mimickit"].write_bytes(mimickit(mimickit_rows(75)))
    poselib(paths["poselib"])
    paths["expmap"].write_bytes(expmap())
    paths["g1_csv"].write_bytes(g1_csv()[0])
    g1_npz(paths["g1_npz"])
    paths["robot_pickle"].write_bytes(gmr()[0])
    protomotions(paths["proto"])
    (folder / "motion.yaml").write_text("up: y\nfps: 60\nunit: 0.1\n")
    return paths | {"asf": folder / "walk.asf"}
