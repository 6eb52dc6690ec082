"""Acclaim files: hand-made bones with known places, and CMU's own against the BVH conversion of the same clip."""

import numpy as np
import pytest
import torch
from clips import one_line
from format_files import AMC, ASF
from scipy.spatial.transform import Rotation

from puffer_phc.errors import InputError
from puffer_phc.motions.formats import SourceOptions, asf_amc, read_file
from puffer_phc.motions.formats.asf import read_asf
from puffer_phc.motions.loading import load_motions

UNIT = 0.0254 / 0.45
KNOWN = SourceOptions(fps=120, up="y")


def store(folder, amc=AMC, asf=ASF, asf_name="walk.asf"):
    if asf is not None:
        (folder / asf_name).write_text(asf)
    (folder / "walk.amc").write_text(amc)
    return folder / "walk.amc"


def body_pos(clip):
    return clip.skeleton.forward_kinematics(clip.root_pos, clip.local_rot)[0].numpy()


def test_known_places(tmp_path):
    """Frame 0 is the rest pose at (1, 2, 3); in frame 1 the root turns 90 about y, upper about z, lower about y."""
    (clip,) = read_file(store(tmp_path), KNOWN)
    assert (clip.name, clip.fps, clip.num_frames, clip.rig) == ("walk", 120.0, 7, "")
    assert clip.body_names == ("root", "upper", "lower", "tip", "end_of_tip")
    rest = np.array([[1, 2, 3], [1, 2, 3], [3, 2, 3], [3, -1, 3], [3, -1, 4]])  # in the file's axes
    turned = np.array([[1, 2, 3], [1, 2, 3], [1, 4, 3], [1, 4, 0], [1, 5, 0]])
    np.testing.assert_allclose(body_pos(clip)[0], rest[:, [2, 0, 1]] * UNIT, atol=1e-12)
    np.testing.assert_allclose(body_pos(clip)[1], turned[:, [2, 0, 1]] * UNIT, atol=1e-12)
    identity = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    assert torch.equal(clip.local_rot[0], identity.expand(5, 4))


def test_rotations_follow_the_definition(tmp_path):
    """R = C Rz Ry Rx C^T with C = Rz(c) Ry(b) Rx(a), by SciPy."""
    asf = ASF.replace("axis 0 0 90 XYZ\n    dof rx", "axis 10 20 30 XYZ\n    dof rx ry rz")
    amc = AMC.replace("lower 90", "lower 11 22 33").replace("lower 0", "lower 0 0 0")
    (clip,) = read_file(store(tmp_path, amc, asf), KNOWN)
    frame = Rotation.from_euler("xyz", [10, 20, 30], degrees=True)
    local = frame * Rotation.from_euler("xyz", [11, 22, 33], degrees=True) * frame.inv()
    expected = Rotation.from_rotvec(local.as_rotvec()[[2, 0, 1]])
    found = Rotation.from_quat(clip.local_rot[1, 2].numpy(), scalar_first=True)
    assert (expected * found.inv()).magnitude() < 1e-9


def test_radians_and_other_orders(tmp_path):
    radians = AMC.replace(":DEGREES", ":RADIANS").replace("90", f"{np.pi / 2}")
    asf = ASF.replace("angle deg", "angle rad").replace("axis 0 0 90", f"axis 0 0 {np.pi / 2}")
    asf = asf.replace("order TX TY TZ RX RY RZ", "order RX RY RZ TZ TY TX")
    amc = radians.replace("root 1 2 3 0 0 0", "root 0 0 0 3 2 1")
    amc = amc.replace(f"root 1 2 3 0 {np.pi / 2} 0", f"root 0 {np.pi / 2} 0 3 2 1")
    (clip,) = read_file(store(tmp_path, amc, asf), KNOWN)
    (tmp_path / "other").mkdir()
    (same,) = read_file(store(tmp_path / "other"), KNOWN)
    np.testing.assert_allclose(body_pos(clip), body_pos(same), atol=1e-12)


def test_the_up_axis_and_the_heading_can_be_told(tmp_path):
    path = store(tmp_path)
    z_up = read_file(path, SourceOptions(fps=1, up="z"))[0]
    np.testing.assert_allclose(z_up.root_pos[0].numpy(), np.array([1, 2, 3]) * UNIT)
    facing_x = read_file(path, SourceOptions(fps=1, up="y", forward="x"))[0]
    np.testing.assert_allclose(facing_x.root_pos[0].numpy(), np.array([1, -3, 2]) * UNIT)
    metres = read_file(path, SourceOptions(fps=1, up="y", unit=1.0))[0]
    np.testing.assert_allclose(metres.root_pos[0].numpy(), [3, 1, 2])


@pytest.mark.parametrize("name", ["walk.asf", "WALK.ASF", "any.asf"])
def test_the_skeleton_is_found_beside_it(tmp_path, name):
    assert read_file(store(tmp_path, asf_name=name), KNOWN)


def test_the_subjects_skeleton_is_preferred(tmp_path):
    store(tmp_path, asf_name="02.asf")
    (tmp_path / "03.asf").write_text(ASF.replace("length 2", "length 20"))
    (tmp_path / "walk.amc").rename(tmp_path / "02_01.amc")
    assert body_pos(read_file(tmp_path / "02_01.amc", KNOWN)[0])[0, 2, 1] == pytest.approx(3 * UNIT)
    (tmp_path / "02_01.amc").rename(tmp_path / "04_01.amc")
    with pytest.raises(InputError, match=r"no 04\.asf beside it \(2 others are there\); put it there or name it with"):
        read_file(tmp_path / "04_01.amc", KNOWN)
    told = SourceOptions(fps=120, up="y", skeleton_file=tmp_path / "02.asf")
    assert read_file(tmp_path / "04_01.amc", told)


FRAME = "2\nroot 1 2 3 0 90 0\nupper 0 0 90\nlower 90\n"


@pytest.mark.parametrize(
    ("amc", "asf", "fault"),
    [
        (AMC, None, "its skeleton is missing: no walk.asf beside it (none is there)"),
        (AMC.replace(FRAME, ""), ASF, "frames are missing or out of order after frame 1"),
        (AMC.replace(FRAME, FRAME.replace("lower", "higher")), ASF, "frame 1 has other bones"),
        (AMC.replace(FRAME, FRAME.replace("lower 90\n", "")), ASF, "frame"),
        (AMC.replace(FRAME, FRAME.replace("lower 90", "lower nan")), ASF, "NaN or infinite values from frame 1"),
        (AMC.replace(FRAME, FRAME.replace("lower 90", "lower x")), ASF, "a value is no number"),
        (AMC.replace(FRAME, FRAME.replace("lower 90", "lower " + "9" * 99)), ASF, "far too long"),
        (AMC[:-4], ASF, "ends within a frame"),
        (AMC.replace("upper", "lfemur"), ASF, "bone lfemur is unknown to the skeleton"),
        (AMC.replace("lower 0\n", ""), ASF, "its frames lack lower"),
        (AMC.replace("lower 0\n", "lower 0 1\n"), ASF, "bone lower has 2 numbers where the .asf has 1"),
        (AMC.replace("lower 0\n", "lower 0\nlower 0\n"), ASF, "occurs twice"),
        (AMC.split("1\n")[0], ASF, "it has no frames"),
        (AMC, ASF.replace("direction 1 0 0", "direction 1 x 0"), "direction of upper is 'x'"),
        (AMC, ASF.replace("direction 1 0 0", "direction 1"), "direction of upper has 1 numbers"),
        (AMC, ASF.replace("length 2", "length 1e400"), "no finite number"),
        (AMC, ASF.replace("axis 0 0 90 XYZ", "axis 0 0 90 XXZ"), "axis of lower has no order"),
        (AMC, ASF.replace("dof rx ry rz", "dof rx ry l"), "changes its length"),
        (AMC, ASF.replace("dof rx ry rz", "dof rx rx"), "unknown or repeated degrees"),
        (AMC, ASF.replace("name lower", "name upper"), "occurs twice"),
        (AMC, ASF.replace("lower tip", "lower upper"), "hangs in two places"),
        (AMC, ASF.replace("root upper", "tip upper"), "do not fit together"),
        (AMC, ASF[: ASF.index(":hierarchy") - 10], "ends within a block"),
        (AMC, ASF[: ASF.index(":bonedata")], "it has no bones"),
        (AMC, " \n", "the file is empty"),
    ],
)
def test_faults(tmp_path, amc, asf, fault):
    with pytest.raises(InputError) as error:
        asf_amc.read(store(tmp_path, amc, asf), KNOWN)
    assert fault in one_line(error)
    assert str(tmp_path) in one_line(error)


def test_what_is_not_known_is_asked_for(tmp_path):
    path = store(tmp_path)
    with pytest.raises(InputError, match=r"no frame rate; give --fps$"):
        read_file(path)
    with pytest.raises(InputError, match=r"give --up \(y or z\)$"):
        read_file(path, SourceOptions(fps=120))
    (tmp_path / "walk.asf").write_text(ASF.replace("length 0.45", "length 1.0"))
    with pytest.raises(InputError, match=r"give --unit .* and --up"):
        read_file(path, SourceOptions(fps=120))
    path.rename(tmp_path / "60_01.amc")
    with pytest.raises(InputError, match=r"give --fps \(CMU recorded subject 60 at 60\)"):
        read_file(tmp_path / "60_01.amc")


def test_a_skeleton_alone_is_no_motion(tmp_path):
    store(tmp_path)
    with pytest.raises(InputError, match="it is a skeleton without a motion"):
        read_file(tmp_path / "walk.asf")


def test_absurd_files_are_refused_quickly(tmp_path):
    deep = ":units\n length 0.45\n:root\n order TX\n:bonedata\n" + "".join(
        f"begin\nname b{i}\ndirection 1 0 0\nlength 1\naxis 0 0 0 XYZ\nend\n" for i in range(3000)
    )
    deep += ":hierarchy\nbegin\nroot b0\n" + "".join(f"b{i} b{i + 1}\n" for i in range(2999)) + "end\n"
    with pytest.raises(InputError, match="more than 1024 bones"):
        asf_amc.read(store(tmp_path, asf=deep), KNOWN)
    wide = deep.replace("3000", "1000")
    for i in range(1000, 3000):
        wide = wide.replace(f"begin\nname b{i}\ndirection 1 0 0\nlength 1\naxis 0 0 0 XYZ\nend\n", "")
    wide = wide.split("b999 b1000")[0] + "end\n"
    amc = "".join(f"{i}\nroot 1\n" for i in range(1, 20_000))
    with pytest.raises(InputError, match="19999 frames of 1001 bodies are too many"):
        asf_amc.read(store(tmp_path, amc, wide), SourceOptions(fps=120, up="y"))
    with pytest.raises(InputError, match="longer than a megabyte"):
        asf_amc.read(store(tmp_path, AMC[: AMC.index("2\nroot")] + "\n" * 3_000_000), KNOWN)
    with pytest.raises(InputError, match="a line of more than a megabyte"):
        asf_amc.read(store(tmp_path, AMC + "8\n" + " 0" * 3_000_000), KNOWN)


# --- CMU's own --------------------------------------------------------------------------------------------------------

NUM_BONES = 31


def test_cmu_single_clip(shared_data):
    (clip,) = load_motions(shared_data / "formats" / "single" / "02_01.amc", SourceOptions(fps=120))
    pos = torch.from_numpy(body_pos(clip))
    assert (clip.rig, clip.num_frames) == ("cmu_asf", 343)
    feet = [clip.body_names.index(name) for name in ("lfoot", "rfoot", "ltoes", "rtoes")]
    assert 0.0 < float(pos[:, feet, 2].min()) < 0.1
    assert 1.4 < float(pos[:, clip.body_names.index("head"), 2].mean()) < 1.8
    assert float(pos[-1, 0, 0] - pos[0, 0, 0]) > 2.0  # the subject walks to where our x points
    names = list(clip.body_names)
    left, right = pos[:, names.index("lfemur")], pos[:, names.index("rfemur")]
    assert float((left - right)[:, 1].min()) > 0.1


def test_asf_of_cmu_states_its_unit(shared_data):
    skeleton = read_asf(shared_data / "formats" / "single" / "02.asf")
    assert skeleton.unit == pytest.approx(0.0564444, abs=1e-7)
    assert len(skeleton.bones) == NUM_BONES
