"""Skeleton trees, forward kinematics against a body-by-body reference, and mirroring pairs."""

import pytest
import torch

from poselib import Skeleton
from poselib.rotations import quat_identity, quat_mul, quat_normalize, quat_rotate

HUMANOID_NAMES = ("Pelvis", "L_Hip", "L_Knee", "R_Hip", "R_Knee", "Torso", "Head", "L_Hand", "R_Hand")
HUMANOID_PARENTS = (-1, 0, 1, 0, 3, 0, 5, 5, 5)


def humanoid(dtype=torch.float64):
    offsets = torch.randn(len(HUMANOID_NAMES), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return Skeleton(HUMANOID_NAMES, HUMANOID_PARENTS, offsets.to(dtype))


def random_pose(*shape, bodies=9, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    root_pos = torch.randn(*shape, 3, dtype=dtype, generator=generator)
    return root_pos, quat_normalize(torch.randn(*shape, bodies, 4, dtype=dtype, generator=generator))


def reference_kinematics(skeleton, root_pos, local_rot):
    """The textbook recursion, one body after the other."""
    positions, rotations = [root_pos], [local_rot[..., 0, :]]
    for body, parent in enumerate(skeleton.parents[1:], start=1):
        positions.append(positions[parent] + quat_rotate(rotations[parent], skeleton.offsets[body]))
        rotations.append(quat_mul(rotations[parent], local_rot[..., body, :]))
    return torch.stack(positions, -2), torch.stack(rotations, -2)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (0,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kinematics_match_the_recursion(shape, dtype):
    skeleton = humanoid(dtype)
    root_pos, local_rot = random_pose(*shape, dtype=dtype)
    actual = skeleton.forward_kinematics(root_pos, local_rot)
    expected = reference_kinematics(skeleton, root_pos, local_rot)
    torch.testing.assert_close(actual[0], expected[0])
    torch.testing.assert_close(actual[1], expected[1])
    assert torch.equal(skeleton.local_to_global(local_rot), actual[1])


def test_kinematics_of_random_trees():
    generator = torch.Generator().manual_seed(2)
    for bodies in range(1, 12):
        parents = [-1] + [int(torch.randint(body, (), generator=generator)) for body in range(1, bodies)]
        skeleton = Skeleton(
            tuple(f"b{i}" for i in range(bodies)), tuple(parents), torch.randn(bodies, 3, dtype=torch.float64)
        )
        root_pos, local_rot = random_pose(5, bodies=bodies)
        actual = skeleton.forward_kinematics(root_pos, local_rot)
        for got, wanted in zip(actual, reference_kinematics(skeleton, root_pos, local_rot), strict=True):
            torch.testing.assert_close(got, wanted)


def test_a_bent_elbow_by_hand():
    arm = Skeleton(("shoulder", "elbow", "hand"), (-1, 0, 1), torch.tensor([[9.0, 9, 9], [1, 0, 0], [1, 0, 0]]))
    local_rot = quat_identity(3)
    local_rot[1] = torch.tensor([0.5**0.5, 0, 0, 0.5**0.5])  # a quarter turn about z
    body_pos, body_rot = arm.forward_kinematics(torch.tensor([0.0, 0, 2]), local_rot)
    torch.testing.assert_close(body_pos, torch.tensor([[0.0, 0, 2], [1, 0, 2], [1, 1, 2]]))
    torch.testing.assert_close(body_rot[2], local_rot[1])


def test_global_and_local_rotations_are_inverse():
    skeleton = humanoid()
    _, local_rot = random_pose(3, 4)
    torch.testing.assert_close(skeleton.global_to_local(skeleton.local_to_global(local_rot)), local_rot)


def test_one_root_position_serves_many_poses():
    skeleton = humanoid()
    _, local_rot = random_pose(6)
    body_pos, _ = skeleton.forward_kinematics(torch.zeros(3, dtype=torch.float64), local_rot)
    assert body_pos.shape == (6, skeleton.num_bodies, 3)


def test_kinematics_are_differentiable_and_leave_inputs_alone():
    skeleton = humanoid()
    root_pos, local_rot = random_pose(2)
    before = local_rot.clone()
    local_rot.requires_grad_()
    root_pos.requires_grad_()
    assert torch.autograd.gradcheck(skeleton.forward_kinematics, (root_pos, local_rot))
    assert torch.equal(local_rot.detach(), before)


def test_tables_made_in_inference_mode_serve_training():
    skeleton = humanoid()
    root_pos, local_rot = random_pose(2)
    with torch.inference_mode():
        skeleton.forward_kinematics(root_pos, local_rot)
    local_rot.requires_grad_()
    skeleton.forward_kinematics(root_pos, local_rot)[0].sum().backward()
    assert local_rot.grad.isfinite().all()


def test_to_keeps_the_tree_and_changes_the_dtype():
    skeleton = humanoid()
    single = skeleton.to(dtype=torch.float32)
    assert single.offsets.dtype == torch.float32
    assert (single.names, single.parents) == (skeleton.names, skeleton.parents)
    assert skeleton.to("cpu") is skeleton


def test_index_finds_bodies_by_name():
    skeleton = humanoid()
    assert skeleton.index("R_Knee") == 4
    assert len(skeleton) == skeleton.num_bodies == 9
    with pytest.raises(ValueError, match="no body 'Tail'"):
        skeleton.index("Tail")


@pytest.mark.parametrize(
    ("names", "parents", "offsets", "message"),
    [
        ((), (), torch.zeros(0, 3), "at least a root"),
        (("a", "a"), (-1, 0), torch.zeros(2, 3), "repeated: a"),
        (("a", "b"), (-1,), torch.zeros(2, 3), "2 names but 1 parents"),
        (("a", "b"), (-1, 0), torch.zeros(3, 3), r"shape \(2, 3\)"),
        (("a", "b"), (-1, 0), torch.zeros(2, 3, dtype=torch.int64), "floating-point"),
        (("a", "b"), (-1, 0), [[0, 0, 0]] * 2, "tensor"),
        (("a", "b"), (0, 0), torch.zeros(2, 3), "root with parent -1"),
        (("a", "b", "c"), (-1, 2, 0), torch.zeros(3, 3), r"parent of body 1 \('b'\) must be in 0..0, not 2"),
        (("a", "b"), (-1, -1), torch.zeros(2, 3), "not -1"),
    ],
)
def test_a_malformed_tree_is_refused_in_one_line(names, parents, offsets, message):
    with pytest.raises(ValueError, match=message) as caught:
        Skeleton(names, parents, offsets)
    assert "\n" not in str(caught.value)


def test_wrong_number_of_rotations_is_refused():
    with pytest.raises(ValueError, match=r"\(\.\.\., 9, 4\), not \(2, 8, 4\)"):
        humanoid().forward_kinematics(torch.zeros(2, 3), torch.zeros(2, 8, 4))


def test_mirror_permutation_swaps_sides():
    assert humanoid().mirror_permutation() == (0, 3, 4, 1, 2, 5, 6, 8, 7)
    lower = Skeleton(("pelvis", "right_hip", "left_hip"), (-1, 0, 0), torch.zeros(3, 3))
    assert lower.mirror_permutation() == (0, 2, 1)


def test_mirror_permutation_refuses_what_has_no_mirror_image():
    with pytest.raises(ValueError, match="no opposite 'R_Hip'"):
        Skeleton(("Pelvis", "L_Hip"), (-1, 0), torch.zeros(2, 3)).mirror_permutation()
    with pytest.raises(ValueError, match="not symmetric"):
        Skeleton(("Pelvis", "L_Hip", "R_Hip"), (-1, 0, 1), torch.zeros(3, 3)).mirror_permutation()
