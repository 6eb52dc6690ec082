"""ProtoMotions' torch files, read without torch's unpickler."""

import os
import zipfile

import pytest
import torch
from clips import one_line, same_rotation
from format_files import protomotions

from puffer_phc.errors import InputError
from puffer_phc.motions.checks import check_bodies
from puffer_phc.motions.formats import SourceOptions
from puffer_phc.motions.loading import load_motions
from puffer_phc.robots.smpl_table import BODY_NAMES


def test_smpl_motion(tmp_path):
    root, local = protomotions(tmp_path / "walk.motion")
    (clip,) = load_motions(tmp_path / "walk.motion")
    check_bodies(clip, BODY_NAMES)
    assert (clip.name, clip.fps) == ("walk", 30.0)
    assert torch.allclose(clip.root_pos, root, atol=1e-6)
    assert same_rotation(clip.local_rot, local, 1e-10)
    (told,) = load_motions(tmp_path / "walk.motion", SourceOptions(override_fps=60, skip_first=1))
    assert (told.fps, told.num_frames) == (60.0, 5)


def test_another_body_is_not_taken_for_smpl(tmp_path):
    protomotions(tmp_path / "walk.motion", rigid_body_pos=torch.zeros(6, 24, 3))
    with pytest.raises(InputError, match=r"bodies are not those of the mean SMPL humanoid \(.* m off\)"):
        load_motions(tmp_path / "walk.motion")


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_no_code_runs(tmp_path):
    protomotions(tmp_path / "walk.motion", extra=Attack(str(tmp_path / "it_ran")))
    with pytest.raises(InputError, match=r"asks to load 'posix.mkdir', which may run code and is refused"):
        load_motions(tmp_path / "walk.motion")
    assert not (tmp_path / "it_ran").exists()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"fps": None}, "it has no fps"),
        ({"fps": -1}, "fps is -1"),
        ({"rigid_body_pos": None}, "it has no rigid_body_pos"),
        ({"rigid_body_rot": torch.zeros(6, 24, 4)}, "rigid_body_rot holds what is no rotation"),
        ({"rigid_body_rot": torch.ones(5, 24, 4)}, "differ in frames"),
        ({"rigid_body_pos": torch.zeros(6, 30, 3)}, "rigid_body_pos has shape (6, 30, 3)"),
        ({"rigid_body_pos": torch.zeros(1).expand(6, 24, 3)}, "larger than its data"),
        ({"rigid_body_pos": torch.full((6, 24, 3), torch.nan)}, "NaN"),
    ],
)
def test_faults(tmp_path, changes, fault):
    protomotions(tmp_path / "walk.motion", **changes)
    with pytest.raises(InputError) as error:
        load_motions(tmp_path / "walk.motion")
    assert fault in one_line(error)


def test_a_zip_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "walk.motion", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        with archive.open("x/data/0", "w", force_zip64=True) as member:
            for _ in range(30):
                member.write(bytes(4 << 20))
    with pytest.raises(InputError, match="unpacks to far more data"):
        load_motions(tmp_path / "walk.motion")
