"""Small model files with the arrays of SMPL's: two surface points for every joint, joints half-way between them."""

import numpy as np
import scipy.sparse

from puffer_phc.robots.smpl_table import BODY_NAMES, PARENTS, PELVIS_OFFSET, SMPL_BODIES, SMPL_JOINT_ORDER

JOINTS = {"smpl": 24, "smplh": 52, "smplx": 55}
HANDS = {"smpl": (22, 23), "smplh": (25, 40), "smplx": (28, 43)}
GROWTH, SHIN = 0.1, 0.05
"""What one unit of the first and the second shape number does: growing by a tenth, shins longer by 5 cm."""


def mean_joints():
    """(24, 3) m, SMPL's order and axes, out of the robot's own table."""
    places = [np.array(PELVIS_OFFSET)]
    for row, parent in zip(SMPL_BODIES[1:], PARENTS[1:], strict=True):
        forward, left, up = row.pos
        places.append(places[parent] + (left, up, forward))
    return np.stack([places[BODY_NAMES.index(name)] for name in SMPL_JOINT_ORDER])


def joints_of(betas):
    """(24, 3) m of a body with these shape numbers, by hand."""
    joints = mean_joints() * (1.0 + GROWTH * betas[0])
    if len(betas) > 1:
        for name in ("L_Ankle", "R_Ankle", "L_Toe", "R_Toe"):
            joints[SMPL_JOINT_ORDER.index(name), 1] -= SHIN * betas[1]
    return joints


def arrays(kind="smpl", numbers=10):
    """The three arrays of a model; fingers and face lie at the origin."""
    count = JOINTS[kind]
    body = [*range(22), *HANDS[kind]]
    joints, longer = np.zeros((count, 3)), np.zeros((count, 3))
    joints[body], longer[body] = mean_joints(), joints_of([0.0, 1.0]) - mean_joints()
    apart = np.random.default_rng(0).normal(0.0, 0.05, (count, 3))
    template = np.concatenate((joints + apart, joints - apart))
    directions = np.zeros((2 * count, 3, numbers))
    directions[..., 0], directions[..., 1] = GROWTH * template, np.concatenate((longer, longer))
    regressor = 0.5 * np.concatenate((np.eye(count), np.eye(count)), axis=1)
    return {"v_template": template, "shapedirs": directions, "J_regressor": regressor}


def sparse(content):
    """The arrays with the regressor as SMPL's pickles have it."""
    return {**content, "J_regressor": scipy.sparse.csc_matrix(content["J_regressor"]), "bs_type": "lrotmin"}


def python2_pickle(content):
    """Bytes of the text pickle of arrays and column matrices that Python 2 wrote (protocol 0, as in SMPL 1.1.0)."""

    def text(data):
        escaped = "".join(chr(b) if 32 <= b < 127 and b not in (39, 92) else f"\\x{b:02x}" for b in data)
        return f"S'{escaped}'\n".encode()

    def array(value):
        value = np.ascontiguousarray(value)
        shape = b"(" + b"".join(f"I{size}\n".encode() for size in value.shape) + b"t"
        kind = b"cnumpy\ndtype\n(S'%s'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb" % value.dtype.str[1:].encode()
        empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        return empty + b"(I1\n" + shape + kind + b"I00\n" + text(value.tobytes()) + b"tb"

    def matrix(value):
        made = b"ccopy_reg\n_reconstructor\n(cscipy.sparse.csc\ncsc_matrix\nc__builtin__\nobject\nNtR"
        shape = b"(I%d\nI%d\nt" % value.shape
        parts = {name: getattr(value, name) for name in ("data", "indices", "indptr")}
        state = b"".join(text(name.encode()) + array(part) + b"s" for name, part in parts.items())
        return made + b"(d" + text(b"_shape") + shape + b"s" + state + b"b"

    items = b""
    for name, value in content.items():
        if isinstance(value, str):
            items += text(name.encode()) + text(value.encode()) + b"s"
        else:
            items += text(name.encode()) + (array(value) if isinstance(value, np.ndarray) else matrix(value)) + b"s"
    return b"(d" + items + b"."
