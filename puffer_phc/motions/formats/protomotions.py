"""ProtoMotions' ``.motion`` files: what ``torch.save`` makes of a dictionary of tensors, a zip archive around a pickle.

The pickle goes through the project's own reader. Body names are not in the file: it is taken for the SMPL humanoid only
if our skeleton, given its rotations, comes to stand where the file says the bodies are.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from poselib.rotations import xyzw_to_wxyz
from poselib.skeleton import Skeleton
from puffer_phc.errors import InputError
from puffer_phc.motions.clip import MotionClip
from puffer_phc.motions.formats.fields import frame_rate, numbers, same_length, unit_quats
from puffer_phc.motions.formats.header import Header
from puffer_phc.motions.formats.options import SourceOptions
from puffer_phc.motions.formats.sidecar import complete
from puffer_phc.motions.formats.source_clip import chosen_rate, overridden
from puffer_phc.motions.pickle_machine import interpret
from puffer_phc.motions.pickle_objects import PickleFault, Storage, storage_type
from puffer_phc.motions.streams import ByteStream, StreamFault, size_limit
from puffer_phc.robots.smpl_table import BODY_NAMES, PARENTS, SMPL_BODIES

_KEYS = ("fps", "rigid_body_pos", "rigid_body_rot")
_PICKLE = "data.pkl"
_REPLACE = "replace it by an intact copy"
_TOLERANCE = 0.03  # m between where our skeleton puts the bodies and where the file does
_SKELETON = Skeleton(BODY_NAMES, PARENTS, torch.tensor([row.pos for row in SMPL_BODIES], dtype=torch.float64))


def sniff(path: Path, header: Header) -> bool:
    """A zip archive laid out as ``torch.save`` does."""
    return header.is_zip and any(name == _PICKLE or name.endswith("/" + _PICKLE) for name in header.arrays)


def read(path: Path, options: SourceOptions | None = None) -> list[MotionClip]:
    """The motion of one file, on the SMPL bodies.

    Raises:
        InputError: a damaged or unsafe file, or a body that is not SMPL's of mean shape.
    """
    known = complete(path, options)
    content = _content(path)
    missing = [key for key in _KEYS if key not in content] if isinstance(content, dict) else list(_KEYS)
    if missing:
        raise InputError(path, f"it has no {', '.join(missing)}", "give one of ProtoMotions' motions")
    bodies = len(BODY_NAMES)
    pos = numbers(path, "rigid_body_pos", content["rigid_body_pos"], (None, bodies, 3))
    rot = numbers(path, "rigid_body_rot", content["rigid_body_rot"], (None, bodies, 4))
    same_length(path, rigid_body_pos=pos, rigid_body_rot=rot)
    global_rot = torch.from_numpy(unit_quats(path, "rigid_body_rot", xyzw_to_wxyz(rot).numpy()))
    local_rot = _SKELETON.global_to_local(global_rot)
    gap = (_SKELETON.forward_kinematics(pos[:, 0], local_rot)[0] - pos).norm(dim=-1)
    if not len(gap) or float(gap.max()) > _TOLERANCE:
        off = f"{float(gap.max()):.2f} m off" if len(gap) else "no frames"
        raise InputError(
            path, f"its bodies are not those of the mean SMPL humanoid ({off})", "retarget it to that body"
        )
    clip = MotionClip(
        name=path.stem,
        fps=chosen_rate(known, lambda: frame_rate(path, "fps", content["fps"])),
        body_names=BODY_NAMES,
        root_pos=pos[:, 0].clone(),
        local_rot=local_rot,
        source=str(path),
    )
    return [overridden(clip, known)]


def _content(path: Path) -> Any:
    """What was saved; no code in it runs."""
    try:
        with zipfile.ZipFile(path) as archive:
            limit = size_limit(path.stat().st_size)
            if sum(info.file_size for info in archive.infolist()) > limit:
                raise InputError(path, "it unpacks to far more data than a motion file of its size holds", _REPLACE)
            name = next(n for n in archive.namelist() if n == _PICKLE or n.endswith("/" + _PICKLE))
            storages: dict[str, Storage] = {}

            def load(pid: object) -> Storage:
                dtype, key, count = storage_type(pid)
                if key not in storages:
                    data = archive.read(f"{name.removesuffix(_PICKLE)}data/{key}")
                    if len(data) != count * dtype.itemsize:
                        raise PickleFault(f"a tensor has {len(data)} bytes of data instead of {count * dtype.itemsize}")
                    storages[key] = Storage(np.frombuffer(data, dtype))
                return storages[key]

            return interpret(ByteStream(io.BytesIO(archive.read(name)), limit), load)
    except InputError:
        raise
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})", "check the path") from error
    except (PickleFault, StreamFault) as error:
        raise InputError(path, str(error), "use an undamaged motion file from a source you trust") from error
    except Exception as error:  # zipfile, zlib and NumPy raise many types on damaged bytes
        raise InputError(
            path, f"damaged torch archive ({str(error)[:99] or type(error).__name__})", _REPLACE
        ) from error
