"""Finding the same limbs in skeletons of many naming schemes, and users' joint maps."""

import pytest
import torch

from poselib.rotations import quat_angle, quat_conj, quat_mul, quat_rotate
from poselib.skeleton import Skeleton
from puffer_phc.errors import InputError
from puffer_phc.motions.joint_maps import anatomy, joint_map, read_joint_map
from puffer_phc.motions.rest_poses import rest_alignment
from tests.motions.clips import one_line
from tests.motions.moving import robot

# Parents by name, root first; sides are written as L and R and renamed below.
PLAIN = (
    "root: ", "Lthigh: root", "Lshin: Lthigh", "Lfoot: Lshin", "Ltoe: Lfoot",
    "Rthigh: root", "Rshin: Rthigh", "Rfoot: Rshin", "Rtoe: Rfoot",
    "spine: root", "chest: spine", "neck: chest", "head: neck",
    "Lcollar: chest", "Larm: Lcollar", "Lelbow: Larm", "Lhand: Lelbow",
    "Rcollar: chest", "Rarm: Rcollar", "Relbow: Rarm", "Rhand: Relbow",
)  # fmt: skip
SCHEMES = {
    "mixamo": ("mixamorig:Left{}", "mixamorig:Right{}", {"thigh": "UpLeg", "shin": "Leg", "foot": "Foot",
               "toe": "ToeBase", "collar": "Shoulder", "arm": "Arm", "elbow": "ForeArm", "hand": "Hand"}),
    "3ds": ("Left{}", "Right{}", {"thigh": "Hip", "shin": "Knee", "foot": "Ankle", "toe": "Toe", "collar": "Collar",
            "arm": "Shoulder", "elbow": "Elbow", "hand": "Wrist"}),
    "smpl": ("L_{}", "R_{}", {"thigh": "Hip", "shin": "Knee", "foot": "Ankle", "toe": "Toe", "collar": "Thorax",
             "arm": "Shoulder", "elbow": "Elbow", "hand": "Wrist"}),
    "asf": ("l{}", "r{}", {"thigh": "femur", "shin": "tibia", "foot": "foot", "toe": "toes", "collar": "clavicle",
            "arm": "humerus", "elbow": "radius", "hand": "wrist"}),
    "after": ("{}_L", "{}_R", {"thigh": "thigh", "shin": "shin", "foot": "foot", "toe": "toe", "collar": "collar",
              "arm": "upper_arm", "elbow": "forearm", "hand": "hand"}),
    "amp": ("left_{}", "right_{}", {"thigh": "thigh", "shin": "shin", "foot": "foot", "toe": "toe", "collar": "collar",
            "arm": "upper_arm", "elbow": "lower_arm", "hand": "hand"}),
}  # fmt: skip


def skeleton_of(scheme, drop=()):
    left, right, parts = SCHEMES[scheme]
    parents = dict(line.split(": ") for line in PLAIN)

    def rename(name):
        return name if name[0] not in "LR" else (left if name[0] == "L" else right).format(parts[name[1:]])

    kept = [name for name in parents if name not in drop]

    def parent(name):
        above = parents[name].strip()
        return -1 if not above else kept.index(above) if above in kept else parent(above)

    offsets = torch.randn(len(kept), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return Skeleton(tuple(map(rename, kept)), tuple(parent(name) for name in kept), offsets), kept


@pytest.mark.parametrize("scheme", SCHEMES)
def test_limbs_are_found_whatever_they_are_called(scheme):
    skeleton, plain = skeleton_of(scheme)
    parts = anatomy(skeleton)
    assert [plain[i] for i in parts.spine] == ["spine", "chest"]
    assert [plain[i] for i in parts.neck] == ["neck", "head"]
    for part, name in (("thigh", "thigh"), ("shin", "shin"), ("foot", "foot"), ("toe", "toe"), ("collar", "collar"),
                       ("upper_arm", "arm"), ("forearm", "elbow"), ("hand", "hand")):  # fmt: skip
        for side in "LR":
            assert plain[getattr(parts, part)[side]] == side + name


def test_parts_that_are_missing():
    skeleton, plain = skeleton_of("amp", drop=("Ltoe", "Rtoe", "Lcollar", "Rcollar", "neck", "spine"))
    parts = anatomy(skeleton)
    assert not parts.toe
    assert not parts.collar
    assert [plain[i] for i in parts.spine] == ["chest"]
    drivers = joint_map(skeleton, robot().skeleton)
    named = {robot().body_names[body]: driver for body, driver in drivers.items()}
    assert [round(named[name].share, 3) for name in ("Torso", "Spine", "Chest")] == [0.333, 0.667, 1.0]
    assert plain[named["L_Thorax"].body] == "chest"
    assert named["Neck"].share == 0.5
    assert "L_Toe" not in named


def test_no_knees():
    skeleton, _ = skeleton_of("amp", drop=("Lshin",))
    with pytest.raises(ValueError, match="no left knee"):
        anatomy(skeleton)


def test_overrides():
    skeleton, plain = skeleton_of("mixamo")
    drivers = joint_map(skeleton, robot().skeleton, {"Torso": skeleton.names[plain.index("chest")], "Neck": ""})
    assert plain[drivers[robot().skeleton.index("Torso")].body] == "chest"
    assert robot().skeleton.index("Neck") not in drivers
    for wrong in ({"Tail": "root"}, {"Neck": "nothing"}):
        with pytest.raises(ValueError, match="no body"):
            joint_map(skeleton, robot().skeleton, wrong)


def test_rest_alignment_turns_the_robots_bones_into_the_sources():
    skeleton, _ = skeleton_of("asf")
    parts, own = anatomy(skeleton), anatomy(robot().skeleton)
    rest = rest_alignment("", skeleton, parts, robot().skeleton, own)
    for part, child in (("thigh", "shin"), ("shin", "foot"), ("upper_arm", "forearm"), ("forearm", "hand")):
        given = robot().skeleton.offsets[getattr(own, child)["L"]]
        wanted = skeleton.offsets[getattr(parts, child)["L"]]
        turned = quat_rotate(rest[getattr(own, part)["L"]], given)
        assert torch.cosine_similarity(turned, wanted, dim=0) == pytest.approx(1.0)


def test_cmus_table_is_what_bones_give_where_they_give_anything():
    """The legs of CMU's zero pose stand 20 degrees out, the arms are level."""
    names, _ = skeleton_of("asf")
    offsets = names.offsets.clone()
    legs = {"shin": (0.0, 0.342, -0.940), "foot": (0.0, 0.342, -0.940), "forearm": (0, 1, 0), "hand": (0, 1, 0)}
    parts, own = anatomy(names), anatomy(robot().skeleton)
    for part, direction in legs.items():
        for side, sign in (("L", 1.0), ("R", -1.0)):
            vector = torch.tensor(direction, dtype=torch.float64) * torch.tensor((1.0, sign, 1.0))
            offsets[getattr(parts, part)[side]] = 0.4 * vector
    source = Skeleton(names.names, names.parents, offsets)
    table = rest_alignment("cmu_asf", source, parts, robot().skeleton, own)
    bones = rest_alignment("", source, parts, robot().skeleton, own)
    for part in ("thigh", "shin", "upper_arm", "forearm"):
        for side in "LR":
            body = getattr(own, part)[side]
            assert float(quat_angle(quat_mul(quat_conj(table[body]), bones[body]))) < 0.02


def test_read_joint_map(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text("# my rig\n---\nL_Knee: 'LeftLeg'\n\nNeck:   # stays still\n\"Head\": Head:01\n")
    assert read_joint_map(path) == {"L_Knee": "LeftLeg", "Neck": "", "Head": "Head:01"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [("- a list\n", "line 1 is not of the form"), ("# nothing\n", "maps no joints"), ("x" * 70000, "larger than")],
)
def test_a_joint_map_that_is_none(tmp_path, text, fault):
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_joint_map(path)
    assert fault in one_line(error)
    with pytest.raises(InputError, match="cannot be read"):
        read_joint_map(tmp_path / "none.yaml")
