"""Lists of clips, above all the one of failed clips: what it names is what is trained on."""

from dataclasses import replace

import pytest
import torch

from puffer_phc.config import ROOT, Config, EnvConfig
from puffer_phc.errors import InputError
from puffer_phc.factory import make_library, make_robot
from puffer_phc.motions.clip_lists import is_clip_list, lines_of
from puffer_phc.motions.loading import load_motions
from puffer_phc.motions.packed import write_packed

SAMPLES = ROOT / "sample_data"
CPU = torch.device("cpu")
ROBOT = make_robot(Config())


def line_of(source, name):
    (line,) = lines_of(source, [name])
    return line


def library_of(path):
    return make_library(replace(Config(), env=EnvConfig(motion_file=str(path))), ROBOT, CPU)


def listed(tmp_path, *lines):
    path = tmp_path / "failed.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_clips_of_a_folder_and_whole_files(tmp_path):
    path = listed(tmp_path, "# hard ones", line_of(SAMPLES, "walk"), "", SAMPLES / "squat_and_wave.npz")
    library = library_of(path)
    assert library.names == ("walk", "squat_and_wave")
    alone = library_of(SAMPLES / "walk.npz")
    assert library.duration[0] == alone.duration[0]


def test_a_list_may_be_replaced_by_one_of_its_own_clips(tmp_path):
    """Evaluating on failed.txt writes a new one over it, with the clips that still fail."""
    path = listed(tmp_path, line_of(SAMPLES, "walk"), SAMPLES / "squat_and_wave.npz")
    path = listed(tmp_path, *lines_of(path, ["squat_and_wave", "walk"]))
    assert library_of(path).names == ("squat_and_wave", "walk")
    with pytest.raises(InputError, match="is a list, too"):
        library_of(listed(tmp_path, f"{path}::walk"))


def test_clips_of_a_packed_file(tmp_path):
    packed = tmp_path / "all.motions.pt"
    write_packed(packed, load_motions(SAMPLES), ROBOT, "contact")
    library = library_of(listed(tmp_path, line_of(packed, "walk"), line_of(packed, "squat_and_wave")))
    assert library.names == ("walk", "squat_and_wave")
    times = torch.tensor([1.0, 1.0])
    found = library.state_at(torch.tensor([0, 1]), times)
    whole = library_of(packed)
    places = torch.tensor([whole.names.index(name) for name in library.names])
    torch.testing.assert_close(found.body_pos, whole.state_at(places, times).body_pos)
    with pytest.raises(InputError, match="cannot be mixed"):
        library_of(listed(tmp_path, line_of(packed, "walk"), SAMPLES / "walk.npz"))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "names no clip"),
        ([f"{SAMPLES}::nobody"], "line 1.*no clip 'nobody'"),
        ([f"{SAMPLES}::walk", f"{SAMPLES}::walk"], "line 2.*line 1 already"),
        ([f"{SAMPLES}::"], "line 1"),
        ([f"{SAMPLES}/none.npz::walk"], "none.npz"),
    ],
)
def test_wrong_lists_are_told(tmp_path, lines, words):
    with pytest.raises(InputError, match=words):
        library_of(listed(tmp_path, *lines))


def test_texts_that_are_motions_are_no_lists(tmp_path):
    path = tmp_path / "motion.txt"
    path.write_text('{"Loop": "wrap", "Frames": []}')
    assert not is_clip_list(path)
    assert not is_clip_list(SAMPLES)
    assert not is_clip_list(tmp_path / "none.txt")
