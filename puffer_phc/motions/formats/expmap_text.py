"""CMU clips as tables of exponential maps, 117 numbers a line, as used in the literature on motion prediction.

A line is the root's place and a rotation vector for each of 38 nodes: CMU's 31 joints and, always zero, their seven end
sites, depth first as in the BVH conversion. Rotations are for row vectors, so a joint turns by ``exp(-r)``. Unit and
axes are those of CMU's own files; neither frame rate nor skeleton is in the file.
"""

from __future__ import annotations

from pathlib import Path

from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.axes import change_of_axes, exp_map_to_quat
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.known_skeletons import cmu_skeleton
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.rigs import CMU_UNIT
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.source_clip import chosen_rate, no_rate, source_clip, turned_motion
from puffer_phc.motions.formats.text import first_row, parse_table, read_text

_NODES = 38
_END_SITES = (6, 12, 19, 26, 28, 35, 37)
_WIDTH = 3 + 3 * _NODES
_ADDED_FRAMES = 1  # a T-pose, as in the BVH conversion, recognised by a root that is not turned


def sniff(path: Path, header: Header) -> bool:
    """A first line of 117 numbers between commas."""
    row = None if header.compression else first_row(header.start)
    return row is not None and len(row) == _WIDTH


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one file, on a CMU skeleton of mean proportions with the BVH conversion's joint names.

    Raises:
        InputError: the frame rate is not known, or the table is damaged or not of CMU's skeleton.
    """
    known = complete(path, options)
    table = parse_table(path, read_text(path), _WIDTH)
    fps = chosen_rate(known, no_rate(path))
    vectors = table[:, 3:].reshape(len(table), _NODES, 3)
    if vectors[:, _END_SITES].any():
        raise InputError(path, "nodes that are CMU's end sites turn", "only tables of CMU's skeleton can be read")
    joints = [node for node in range(_NODES) if node not in _END_SITES]
    change = change_of_axes(known.up or "y", known.forward)
    motion = turned_motion(change, known.unit or CMU_UNIT, table[:, :3], exp_map_to_quat(-vectors[:, joints]))
    added = _ADDED_FRAMES if not vectors[0, 0].any() else 0
    skip = added if known.skip_first is None else known.skip_first
    return [source_clip(path, fps, cmu_skeleton(), *motion, rig="cmu_bvh_cgspeed", skip_first=skip)]
