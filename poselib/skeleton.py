"""Kinematic trees and batched forward kinematics.

A skeleton is a tree of bodies joined by rotations: body ``b`` sits at ``offsets[b]`` metres in its parent's frame and
is turned by its local rotation. Kinematics walk the tree one depth at a time, so the SMPL body's 24 bodies cost eight
batched steps instead of 23, whatever the number of poses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from poselib.rotations import quat_conj, quat_mul, quat_rotate

_SIDE_PREFIXES = (("L_", "R_"), ("left_", "right_"))


class _Level(NamedTuple):
    """The bodies of one tree depth below the root, in index order."""

    parent_slots: Tensor  # (n,) int64: where each body's parent stands among the bodies of the previous level
    offsets: Tensor  # (n, 3) m


class _Tables(NamedTuple):
    """What kinematics need on one device in one dtype."""

    order: Tensor  # (B,) int64: body indices sorted by depth
    inverse_order: Tensor  # (B,) int64: where each body stands in ``order``
    level_sizes: tuple[int, ...]  # bodies per depth, root first
    levels: tuple[_Level, ...]  # depths 1, 2, ...
    parents: Tensor  # (B - 1,) int64: parents of all bodies but the root


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A tree of named bodies, root first and every parent before its children.

    Attributes:
        names: body names, unique, ``B`` of them.
        parents: index of each body's parent; -1 for the root, which is body 0.
        offsets: ``(B, 3)`` m, each body's origin in its parent's frame. The root's own offset is not used by the
            kinematics: a pose gives the root's place in the world. Constants: no gradient flows to them.

    Raises:
        ValueError: at construction, when the three do not describe such a tree.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Tensor
    _cache: dict[tuple[torch.device, torch.dtype], _Tables] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        # Lists are welcome, but a frozen object must not change under its cached tables.
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "parents", tuple(int(parent) for parent in self.parents))
        _check_tree(self.names, self.parents, self.offsets)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_bodies(self) -> int:
        """Number of bodies ``B``, the root included."""
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of the body called ``name``.

        Raises:
            ValueError: when there is no such body.
        """
        if name not in self.names:
            raise ValueError(f"no body {name!r} in the skeleton; it has {', '.join(self.names)}")
        return self.names.index(name)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Skeleton:
        """The same tree with its offsets on ``device`` in ``dtype``; ``None`` keeps what it has."""
        offsets = self.offsets.to(device=device, dtype=dtype)
        return self if offsets is self.offsets else Skeleton(self.names, self.parents, offsets)

    def forward_kinematics(self, root_pos: Tensor, local_rot: Tensor) -> tuple[Tensor, Tensor]:
        """World positions and rotations of all bodies.

        The first call on a device copies the tree's tables there; later calls only launch kernels, so make one before
        capturing a CUDA graph.

        Args:
            root_pos: ``(..., 3)`` m, the root body's origin in the world.
            local_rot: ``(..., B, 4)`` wxyz, each body relative to its parent, the root relative to the world. The
                leading dimensions of ``root_pos`` expand to these.

        Returns:
            ``body_pos (..., B, 3)`` m and ``body_rot (..., B, 4)`` wxyz, both in the world frame.

        Raises:
            ValueError: when ``local_rot`` does not hold ``B`` quaternions.
        """
        tables = self._tables(local_rot)
        by_depth = local_rot.index_select(-2, tables.order).split(tables.level_sizes, dim=-2)
        positions, rotations = [root_pos.expand(*local_rot.shape[:-2], 3).unsqueeze(-2)], [by_depth[0]]
        for level, local in zip(tables.levels, by_depth[1:], strict=True):
            parent_rot = rotations[-1].index_select(-2, level.parent_slots)
            parent_pos = positions[-1].index_select(-2, level.parent_slots)
            positions.append(parent_pos + quat_rotate(parent_rot, level.offsets))
            rotations.append(quat_mul(parent_rot, local))
        body_pos = torch.cat(positions, dim=-2).index_select(-2, tables.inverse_order)
        body_rot = torch.cat(rotations, dim=-2).index_select(-2, tables.inverse_order)
        return body_pos, body_rot

    def local_to_global(self, local_rot: Tensor) -> Tensor:
        """World rotations ``(..., B, 4)`` of rotations relative to the parent ``(..., B, 4)``."""
        tables = self._tables(local_rot)
        by_depth = local_rot.index_select(-2, tables.order).split(tables.level_sizes, dim=-2)
        rotations = [by_depth[0]]
        for level, local in zip(tables.levels, by_depth[1:], strict=True):
            rotations.append(quat_mul(rotations[-1].index_select(-2, level.parent_slots), local))
        return torch.cat(rotations, dim=-2).index_select(-2, tables.inverse_order)

    def global_to_local(self, body_rot: Tensor) -> Tensor:
        """Rotations relative to the parent ``(..., B, 4)`` of world rotations ``(..., B, 4)``.

        The root's is its world rotation. The inverse of :meth:`local_to_global`.
        """
        parent_rot = body_rot.index_select(-2, self._tables(body_rot).parents)
        local = quat_mul(quat_conj(parent_rot), body_rot[..., 1:, :])
        return torch.cat((body_rot[..., :1, :], local), dim=-2)

    def mirror_permutation(self) -> tuple[int, ...]:
        """Index of each body's opposite across the left-right plane, from ``L_``/``R_`` or ``left_``/``right_`` names.

        A body without such a prefix lies in the plane and is its own opposite.

        Raises:
            ValueError: when a body's opposite is missing, or hangs from a body that is not the opposite of its parent.
        """
        opposites = tuple(self._opposite(body) for body in range(len(self.names)))
        for body, parent in enumerate(self.parents[1:], start=1):
            if self.parents[opposites[body]] != opposites[parent]:
                mirrored = self.names[opposites[body]]
                raise ValueError(f"the tree is not symmetric: {self.names[body]!r} and {mirrored!r} hang differently")
        return opposites

    def _opposite(self, body: int) -> int:
        name = self.names[body]
        for left, right in _SIDE_PREFIXES:
            for here, there in ((left, right), (right, left)):
                if not name.startswith(here):
                    continue
                opposite = there + name.removeprefix(here)
                if opposite not in self.names:
                    raise ValueError(f"body {name!r} has no opposite {opposite!r} to be mirrored with")
                return self.names.index(opposite)
        return body

    def _tables(self, rotations: Tensor) -> _Tables:
        if rotations.shape[-2:] != (len(self.names), 4):
            raise ValueError(f"rotations must be (..., {len(self.names)}, 4), not {tuple(rotations.shape)}")
        key = (rotations.device, rotations.dtype)
        if key not in self._cache:
            # Built as plain constants even when first asked for in inference mode: training may use them later.
            with torch.inference_mode(False), torch.no_grad():
                self._cache[key] = _build_tables(self.parents, self.offsets.to(rotations.device, rotations.dtype))
        return self._cache[key]


def _check_tree(names: tuple[str, ...], parents: tuple[int, ...], offsets: Tensor) -> None:
    count = len(names)
    if count == 0:
        raise ValueError("a skeleton needs at least a root body")
    if len(set(names)) != count:
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"body names must be unique; repeated: {', '.join(twice)}")
    if len(parents) != count:
        raise ValueError(f"{count} names but {len(parents)} parents")
    if not isinstance(offsets, Tensor) or offsets.shape != (count, 3) or not offsets.is_floating_point():
        raise ValueError(f"offsets must be a floating-point tensor of shape ({count}, 3)")
    if parents[0] != -1:
        raise ValueError(f"body 0 ({names[0]!r}) must be the root with parent -1, not {parents[0]}")
    for body, parent in enumerate(parents[1:], start=1):
        if not 0 <= parent < body:
            raise ValueError(f"parent of body {body} ({names[body]!r}) must be in 0..{body - 1}, not {parent}")


def _build_tables(parents: tuple[int, ...], offsets: Tensor) -> _Tables:
    """Group the bodies by depth and place the groups' index tensors beside ``offsets``."""

    def indices(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=offsets.device)

    depths = [0]
    for parent in parents[1:]:
        depths.append(depths[parent] + 1)
    groups = [[body for body, depth in enumerate(depths) if depth == level] for level in range(max(depths) + 1)]
    order = [body for group in groups for body in group]
    return _Tables(
        order=indices(order),
        inverse_order=indices([order.index(body) for body in range(len(order))]),
        level_sizes=tuple(len(group) for group in groups),
        levels=tuple(
            _Level(indices([above.index(parents[body]) for body in group]), offsets[indices(group)])
            for above, group in pairwise(groups)
        ),
        parents=indices(list(parents[1:])),
    )
