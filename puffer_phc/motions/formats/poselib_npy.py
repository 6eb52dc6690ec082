"""Motions of Isaac Gym's pose library (``.npy``, IsaacGymEnvs, ASE, PHC): ``np.save`` of one dictionary.

Such a file is a pickle in disguise, so ``np.load`` would need ``allow_pickle``. Here the array around the dictionary is
taken off and the rest goes through the reader that cannot run anything (:mod:`puffer_phc.motions.unpickle`).
"""

from __future__ import annotations

import io
import pickletools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy

from poselib.rotations import xyzw_to_wxyz
from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.fields import frame_rate, numbers, same_length, unit_quats
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.rigs import conventions_of
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.source_clip import chosen_rate, source_clip, turned_motion, turned_skeleton
from puffer_phc.motions.formats.text import MAX_BODIES, read_bytes
from puffer_phc.motions.pickle_machine import interpret
from puffer_phc.motions.streams import ByteStream, size_limit
from puffer_phc.motions.unpickle import pickle_faults
from puffer_phc.robots.smpl_table import BODY_NAMES

_MAGIC = b"\x93NUMPY"
_MAX_BYTES = 1 << 30
_MAX_WRAPPER = 64  # pickle instructions before the content
_TAIL = re.compile(rb"at(?:q.|r.{4}|\x94)?b\.\Z", re.DOTALL)
_REMEDY = "use an undamaged motion file from a source you trust"
_EXPORT = "export it again as a SkeletonMotion"


def sniff(path: Path, header: Header) -> bool:
    """A NumPy file of Python objects that names a motion's first field."""
    start = header.start
    return start.startswith(_MAGIC) and b"|O" in start[:128] and b"rotation" in start


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one file: on the SMPL bodies if it has exactly those, else on the skeleton that it brings.

    Raises:
        InputError: a damaged or unsafe file, fields that do not fit together, or an unknown unit or up axis.
    """
    known = complete(path, options)
    content = _content(path)
    tree = content.get("skeleton_tree")
    if not isinstance(tree, dict):
        raise InputError(path, "it has no skeleton_tree", _EXPORT)
    names, parents = _names(path, tree), _parents(path, tree)
    offsets = _array(path, tree, "local_translation", (len(names), 3)).numpy()
    rotation = _array(path, content, "rotation", (None, len(names), 4))
    root_pos = _array(path, content, "root_translation", (None, 3))
    same_length(path, rotation=rotation, root_translation=root_pos)
    fps = chosen_rate(known, lambda: frame_rate(path, "fps", content.get("fps")))
    quats = unit_quats(path, "rotation", xyzw_to_wxyz(rotation).numpy())
    terms = conventions_of(path, known, names, offsets)
    skeleton = turned_skeleton(path, names, parents, offsets, terms.change, terms.unit)
    places, turns = turned_motion(terms.change, terms.unit, root_pos.numpy(), quats)
    if not content.get("is_local", False):
        turns = skeleton.global_to_local(torch.from_numpy(turns)).numpy()
    rig = "" if terms.rig is None else terms.rig.name
    clip = source_clip(path, fps, skeleton, places, turns, rig=rig, skip_first=known.skip_first or 0)
    # PHC writes such files for the SMPL humanoid too; its frames are our own.
    return [replace(clip, skeleton=None) if rig == "phc_smpl" and names == BODY_NAMES else clip]


def _content(path: Path) -> dict[str, Any]:
    """The dictionary in the file; no code in it runs."""
    with pickle_faults(path, _REMEDY):
        data = read_bytes(path, _MAX_BYTES, "split it into shorter clips")
        pickled = _unwrapped(data[_data_start(data) :])
        content = interpret(ByteStream(io.BytesIO(pickled), size_limit(len(pickled))))
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        return content[0]
    raise InputError(path, "it does not hold one dictionary", _EXPORT)


def _data_start(data: bytes) -> int:
    """Where the pickle begins, behind NumPy's header of a single object."""
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read_header is None:
        raise ValueError(f"array format {version} is not supported")
    shape, _, dtype = read_header(stream)
    if shape != () or dtype != np.dtype(object):
        raise ValueError(f"an array of shape {shape} and type {dtype} instead of one object")
    return stream.tell()


def _unwrapped(data: bytes) -> bytes:
    """The pickle of the list with the one object, out of the pickle of the object array that NumPy puts around it.

    The array's instructions stay, for later ones refer to what they look up, but its data type is changed to a harmless
    one of the same length, and the pickle ends where the list is complete instead of filling the array with it.
    """
    tail = _TAIL.search(data, max(0, len(data) - 16))
    if tail is None:
        raise ValueError("its pickle does not end as an array of one object does")
    for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
        if opcode.name == "EMPTY_LIST" or count > _MAX_WRAPPER:
            break
        if argument in ("O8", "O"):
            at = data.index(argument.encode(), position)
            data = data[:at] + ("i8" if argument == "O8" else "b").encode() + data[at + len(argument) :]
            return data[: tail.start()] + b"a."
    raise ValueError("its pickle does not begin as an array of one object does")


def _names(path: Path, tree: dict[str, Any]) -> tuple[str, ...]:
    names = tree.get("node_names")
    if not isinstance(names, list) or not 0 < len(names) <= MAX_BODIES or {type(name) for name in names} != {str}:
        raise InputError(path, "its node_names are no list of names", _EXPORT)
    return tuple(names)


def _parents(path: Path, tree: dict[str, Any]) -> list[int]:
    parents = _array(path, tree, "parent_indices", (None,))
    return [int(parent) for parent in parents]


def _array(path: Path, record: dict[str, Any], name: str, shape: tuple[int | None, ...]) -> torch.Tensor:
    """An array in the pose library's dress: ``{"arr": array, "context": {...}}``."""
    value = record.get(name)
    return numbers(path, name, value.get("arr") if isinstance(value, dict) else value, shape)
