"""BVH files: hand-made joints with known places, every channel order against SciPy, known rigs, absurd files."""

import time
from itertools import permutations

import numpy as np
import pytest
import torch
from clips import one_line
from format_files import BVH
from scipy.spatial.transform import Rotation

from puffer_phc.errors import InputError
from puffer_phc.motions.checks import check_bodies
from puffer_phc.motions.formats import SourceOptions, bvh, read_file
from puffer_phc.motions.loading import load_motions
from puffer_phc.robots.smpl_table import BODY_NAMES

KNOWN = SourceOptions(unit=0.01, up="y")
RIG = """HIERARCHY
ROOT Hips
{ OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
""" + "".join(
    f"JOINT {name}\n{{ OFFSET {offset} CHANNELS 3 Zrotation Yrotation Xrotation\n"
    for name, offset in (
        ("LHipJoint", "0 0 0"), ("LeftUpLeg", "1.7 -1.9 0.6"), ("LeftLeg", "2.4 -6.7 0"), ("LeftFoot", "2.7 -7.6 0"),
        ("LowerBack", "0 1 0"), ("Spine1", "0 1 0"), ("Neck1", "0 1 0"), ("LeftFingerBase", "1 0 0"),
        ("LThumb", "1 0 0"),
    )
) + "End Site { OFFSET 0 0 1 }" + "}" * 10  # fmt: skip


def store(folder, text, name="walk.bvh"):
    (folder / name).write_text(text)
    return folder / name


def rig_file(folder, rows, name="walk.bvh", frame_time="0.0083333", rig=RIG):
    body = "\n".join(" ".join(map(str, row)) for row in rows)
    return store(folder, f"{rig}\nMOTION\nFrames: {len(rows)}\nFrame Time: {frame_time}\n{body}\n", name)


def row(root_turn=1.0, value=2.0):
    return [0.0, 17.0, 0.0, root_turn, 0.0, 0.0] + [value] * 27


def body_pos(clip):
    return clip.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)[0].numpy()


def test_known_places(tmp_path):
    """Frame 1: the root turns 90 about z, b about x, c first about z, then about x; d about y, which moves nothing."""
    (clip,) = read_file(store(tmp_path, BVH), KNOWN)
    assert (clip.name, clip.fps, clip.num_frames, clip.rig) == ("walk", 30.0, 6, "")
    assert (clip.body_names, clip.skeleton.parents) == (("a", "b", "c", "d"), (-1, 0, 1, 0))
    rest = np.array([[1, 2, 3], [3, 2, 3], [3, -1, 3], [1, 3, 3]]) / 100
    # b: (2 0 0) turned by z is (0 2 0). c: (0 -3 0) turned by x is (0 0 -3), by z the same. d: (0 1 0) is (-1 0 0).
    turned = np.array([[1, 2, 3], [1, 4, 3], [1, 4, 0], [0, 2, 3]]) / 100
    np.testing.assert_allclose(body_pos(clip)[0], rest[:, [2, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(body_pos(clip)[1], turned[:, [2, 0, 1]], atol=1e-12)
    c = Rotation.from_euler("XZ", [90, 90], degrees=True).as_rotvec()[[2, 0, 1]]
    found = Rotation.from_quat(clip.local_rot[1, 2].numpy(), scalar_first=True)
    assert (Rotation.from_rotvec(c) * found.inv()).magnitude() < 1e-12


@pytest.mark.parametrize("order", ["".join(p) for n in (1, 2, 3) for p in permutations("XYZ", n)])
def test_every_channel_order_is_the_product_as_written(tmp_path, order):
    angles = [11.0, 47.0, -83.0][: len(order)]
    channels = " ".join(f"{axis}rotation" for axis in order)
    text = f"HIERARCHY ROOT a {{ OFFSET 0 0 0 CHANNELS {len(order)} {channels} End Site {{ OFFSET 0 0 1 }} }}\n"
    row = " ".join(map(str, angles))
    (clip,) = read_file(store(tmp_path, f"{text}MOTION\nFrames: 1\nFrame Time: 1\n{row}"), KNOWN)
    expected = Rotation.from_euler(order, angles, degrees=True).as_rotvec()[[2, 0, 1]]
    found = Rotation.from_quat(clip.local_rot[0, 0].numpy(), scalar_first=True)
    assert (Rotation.from_rotvec(expected) * found.inv()).magnitude() < 1e-12


def test_channel_names_positions_and_braces_in_any_style(tmp_path):
    text = BVH.replace("Zrotation", "ZROTATION").replace("{\n", "{ ").replace("\n", "\r\n").replace("MOTION", "motion")
    text = text.replace("JOINT b", "JOINT b of legs").replace("Frames: 6", "Frames:\t6")
    (clip,) = read_file(store(tmp_path, "\ufeff" + text), KNOWN)
    (same,) = read_file(store(tmp_path, BVH, "same.bvh"), KNOWN)
    assert clip.body_names[1] == "b of legs"
    assert torch.equal(clip.local_rot, same.local_rot)
    shuffled = BVH.replace("Xposition Yposition Zposition Zrotation", "Zposition Xposition Yposition Zrotation")
    shuffled = shuffled.replace("\n1 2 3 ", "\n3 1 2 ")
    (clip,) = read_file(store(tmp_path, shuffled), KNOWN)
    assert torch.equal(clip.root_pos, same.root_pos)


def test_a_root_without_channels_stays_at_its_offset(tmp_path):
    text = BVH.replace("OFFSET 0 0 0", "OFFSET 7 8 9").replace("6 Xposition Yposition Zposition", "3")
    (clip,) = read_file(store(tmp_path, text.replace("\n1 2 3 ", "\n")), KNOWN)
    np.testing.assert_allclose(clip.root_pos.numpy(), [[0.09, 0.07, 0.08]] * 6)


def test_joints_with_position_channels(tmp_path):
    def with_places(places):
        text = BVH.replace("OFFSET 2 0 0\n\t\tCHANNELS 3", "OFFSET 2 0 0\n\t\tCHANNELS 6 Xposition Yposition Zposition")
        head, _, body = text.partition("Frame Time: 0.0333333\n")
        lines = [line.split() for line in body.splitlines()]
        lines = [" ".join([*w[:6], *map(str, place), *w[6:]]) for w, place in zip(lines, places, strict=True)]
        return store(tmp_path, head + "Frame Time: 0.0333333\n" + "\n".join(lines))

    (still,) = read_file(with_places([(2.5, 0, 0)] * 6), KNOWN)
    np.testing.assert_allclose(still.skeleton.offsets[1].numpy(), [0, 0.025, 0])
    (zeros,) = read_file(with_places([(0, 0, 0)] * 6), KNOWN)
    np.testing.assert_allclose(zeros.skeleton.offsets[1].numpy(), [0, 0.02, 0])
    with pytest.raises(InputError, match="joint b moves within its parent"):
        read_file(with_places([(2 + i, 0, 0) for i in range(6)]), KNOWN)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("MOTION", "MOTIONLESS"), "it has no MOTION part"),
        (("Frames: 6", "Frames: 1000000000000"), "Frames is '1000000000000'"),
        (("Frames: 6", "Frames: -6"), "Frames is '-6'"),
        (("Frames: 6", "Frames: 600"), "it announces 600 frames but is too short"),
        (("Frames: 6", "Frames: 7"), "but it holds 72"),
        (("Frames: 6", "Frames: 5"), "but it holds 72"),
        (("Frames: 6", "Frames: 0"), "it announces 0 frames"),
        (("Frame Time: 0.0333333", "Frame Time: 0"), "Frame Time is 0; give --fps"),
        (("Frame Time: 0.0333333", "Frame Time: nan"), "Frame Time is 'nan'"),
        (("\n1 2 3 90 0 0", "\n1 2 3 nan 0 0"), "NaN or infinite"),
        (("\n1 2 3 90 0 0", "\n1 2 3 1e999 0 0"), "NaN or infinite"),
        (("\n1 2 3 90 0 0", "\n1 2 3 9O 0 0"), "something that is no number"),
        (("\n1 2 3 90 0 0", "\n1e300 2 3 90 0 0"), "its root is 100000 m away"),
        (("OFFSET 2 0 0", "OFFSET 2 0"), "the offset of b is 'CHANNELS'"),
        (("OFFSET 2 0 0", "OFFSET 2 inf 0"), "'inf'"),
        (("CHANNELS 2", "CHANNELS 1000000000"), "joint c has '1000000000' channels"),
        (("CHANNELS 2", "CHANNELS 3"), "unknown or repeated channels"),
        (("CHANNELS 2 Xrotation Zrotation", "CHANNELS 2 Xrotation Xrotation"), "unknown or repeated channels"),
        (("CHANNELS 2 Xrotation Zrotation", "CHANNELS 2 Xscale Zrotation"), "unknown or repeated channels"),
        (("JOINT c", "JOINT b"), "body names must be unique; repeated: b"),
        (("JOINT c", "JOINT"), "a joint has no name"),
        (("JOINT c", "JOINT " + "c " * 20), "does not end"),
        (("JOINT c", "BONE c"), "'BONE' instead of JOINT or a closing brace"),
        (("}\nMOTION", "MOTION"), "the hierarchy ends where"),
        (("}\nMOTION", "}}\nMOTION"), "'}' follows the hierarchy"),
        (("}\nMOTION", "}\nROOT b\n{}\nMOTION"), "it has several roots"),
    ],
)
def test_faults(tmp_path, change, fault):
    assert change[0] in BVH
    path = store(tmp_path, BVH.replace(*change, 1))
    with pytest.raises(InputError) as error:
        bvh.read(path, KNOWN)
    assert fault in one_line(error)
    assert str(path) in one_line(error)


def test_unit_and_up_axis_are_asked_for(tmp_path):
    path = store(tmp_path, BVH)
    with pytest.raises(InputError, match=r"give --unit \(metres per unit, 0.01 for cm\) and --up \(y or z\)$"):
        read_file(path)
    with pytest.raises(InputError, match=r"give --up \(y or z\)$"):
        read_file(path, SourceOptions(unit=1.0))
    assert read_file(path, SourceOptions(unit=1.0, up="z", fps=25))[0].fps == 30.0  # the file's own
    assert read_file(path, SourceOptions(unit=1.0, up="z", override_fps=25))[0].fps == 25.0
    still = store(tmp_path, BVH.replace("Frame Time: 0.0333333", "Frame Time: 0"))
    assert read_file(still, SourceOptions(unit=1.0, up="z", fps=25))[0].fps == 25.0


def test_a_known_rig_tells_its_unit_and_drops_its_added_pose(tmp_path):
    (clip,) = read_file(rig_file(tmp_path, [row(0.0, 0.0), *[row()] * 6]))
    assert (clip.rig, clip.fps, clip.num_frames) == ("cmu_bvh_cgspeed", 120.0, 6)
    assert float(clip.root_pos[0, 2]) == pytest.approx(17 * 0.0254 / 0.45)
    assert read_file(rig_file(tmp_path, [row()] * 6))[0].num_frames == 6
    assert read_file(rig_file(tmp_path, [row(0.0)] * 7), SourceOptions(skip_first=0))[0].num_frames == 7
    with pytest.raises(InputError, match="6 frames, of which the first 6"):
        read_file(rig_file(tmp_path, [row()] * 6), SourceOptions(skip_first=6))


def test_a_known_rig_of_another_size_is_not_believed(tmp_path):
    path = rig_file(tmp_path, [row()] * 6, rig=RIG.replace("2.4 -6.7 0", "24 -67 0").replace("2.7 -7.6 0", "27 -76 0"))
    with pytest.raises(InputError, match="joints are those of cmu_bvh_cgspeed, but its legs"):
        read_file(path)
    assert read_file(path, SourceOptions(unit=0.005, up="y"))[0].rig == "cmu_bvh_cgspeed"
    lying = rig_file(
        tmp_path, [row()] * 6, rig=RIG.replace("2.4 -6.7 0", "2.4 0 -6.7").replace("2.7 -7.6 0", "2.7 0 -7.6")
    )
    with pytest.raises(InputError, match="give --unit"):
        read_file(lying)
    assert read_file(lying, SourceOptions(unit=0.0564, up="z"))[0].rig == ""


def test_cmus_wrong_frame_rates_are_not_believed(tmp_path):
    path = rig_file(tmp_path, [row()] * 6, "60_01.bvh")
    with pytest.raises(InputError, match="header says 120 frames per second, but CMU captured subject 60 at 60; give"):
        read_file(path)
    assert read_file(path, SourceOptions(fps=60))[0].fps == 60.0
    (tmp_path / "60_01.bvh.yaml").write_text("fps: 60\n")
    assert read_file(path)[0].fps == 60.0
    assert read_file(rig_file(tmp_path, [row()] * 6, "61_01.bvh", "0.0166667"))[0].fps == 60.0
    assert read_file(rig_file(tmp_path, [row()] * 6, "59_01.bvh"))[0].fps == 120.0


def test_lafan_rests_along_x(tmp_path):
    """The legs of LAFAN1's rest pose lie along x: 43.5 and 42.4 cm."""
    names = [
        "Hips",
        "LeftUpLeg",
        "LeftLeg",
        "LeftFoot",
        "LeftToe",
        "Spine",
        "Spine1",
        "Spine2",
        "Neck",
        "Head",
        "LeftShoulder",
        "LeftForeArm",
    ]
    offsets = {"LeftLeg": "43.5 0 0", "LeftFoot": "42.37 0 0"}
    head = "HIERARCHY\nROOT " + "JOINT ".join(
        f"{name} {{ OFFSET {offsets.get(name, '1 0 0')} CHANNELS 3 Zrotation Yrotation Xrotation\n" for name in names
    )
    rows = "\n".join(" ".join(["1"] * 36) for _ in range(6))
    text = head + "}" * 12 + f"\nMOTION\nFrames: 6\nFrame Time: 0.033333\n{rows}\n"
    (clip,) = read_file(store(tmp_path, text))
    assert (clip.rig, clip.fps) == ("lafan", 30.0)
    np.testing.assert_allclose(clip.skeleton.offsets[2].numpy(), [0, 0.435, 0])


@pytest.mark.parametrize(("frame_time", "fps"), [("0.0333333", 30), ("0.033333", 30), ("0.0083333", 120), ("0.04", 25)])
def test_rounded_frame_times_are_whole_rates(tmp_path, frame_time, fps):
    assert read_file(rig_file(tmp_path, [row()] * 6, frame_time=frame_time))[0].fps == fps


def test_a_foreign_skeleton_is_told_to_be_retargeted(tmp_path):
    (clip,) = load_motions(store(tmp_path, BVH), KNOWN)
    with pytest.raises(
        InputError, match=r"moves a skeleton of its own, not the robot; retarget it with scripts/convert"
    ):
        check_bodies(clip, BODY_NAMES)


def test_absurd_files_are_refused_quickly(tmp_path):
    start = time.monotonic()
    nested = "JOINT j{} {{ OFFSET 0 0 0 CHANNELS 3 Xrotation Yrotation Zrotation "
    head = "HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 3 Xrotation Yrotation Zrotation "
    for text, fault in (
        (head + "".join(nested.format(i) for i in range(50_000)) + "}" * 50_001, "more than 1024 joints"),
        (head + "".join(nested.format(i) for i in range(100_000)) + "}" * 100_001, "larger than 4 MiB"),
        (head + "}" + " " * (5 << 20), "larger than 4 MiB"),
    ):
        with pytest.raises(InputError, match=fault):
            bvh.read(store(tmp_path, text + "\nMOTION\nFrames: 1\nFrame Time: 1\n0 0 0\n"), KNOWN)
    assert time.monotonic() - start < 5


def test_a_long_file_is_read_fast(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.concatenate((rng.normal(size=(2751, 6)), rng.normal(0, 40, (2751, 27))), axis=1).round(4)
    path = rig_file(tmp_path, rows.tolist())
    start = time.process_time()
    assert read_file(path)[0].num_frames == 2751
    assert time.process_time() - start < 1.0
