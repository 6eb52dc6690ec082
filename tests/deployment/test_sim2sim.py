"""The exported folder performing its motions in plain MuJoCo."""

import subprocess
import sys

import pytest
from small_policy import edited

from puffer_phc.config import ROOT
from puffer_phc.deployment.sim2sim import run

BANNED = (
    "torch",
    "gymnasium",
    "poselib",
    "gymtorch",
    "puffer_phc.training",
    "puffer_phc.policies",
    "puffer_phc.robots",
)
BANNED = (*BANNED, "puffer_phc.envs.humanoid_phc", "puffer_phc.envs.observations", "puffer_phc.config")
ALONE = """
import sys
for name in {banned!r}:
    sys.modules[name] = None  # importing it fails
from puffer_phc.deployment.sim2sim import main
code = main()
ours = [name for name in sys.modules if name.startswith(("torch", "puffer_phc.")) and sys.modules[name]]
allowed = ("puffer_phc.deployment", "puffer_phc.errors", "puffer_phc.quaternions", "puffer_phc.viewers")
allowed = (*allowed, "puffer_phc.envs.registry")
assert not [name for name in ours if name != "puffer_phc.envs" and not name.startswith(allowed)], ours
sys.exit(code)
"""


def command(*arguments):
    """The command line where neither torch nor training code can be imported."""
    call = [sys.executable, "-c", ALONE.format(banned=BANNED), *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, cwd=ROOT, check=False)


def test_no_torch_and_no_training_code(make_exported):
    """The command line runs where importing them fails, and tells both errors."""
    result = command(make_exported("mlp").folder, "--clip", "walk")
    assert result.returncode in (0, 1), result.stderr  # 1 where the clip was lost
    assert not result.stderr
    assert "physics at 0.00833333 s x 4, trained at 0.0166667 s x 2" in result.stdout
    assert "trainer's evaluation:" in result.stdout
    assert "this robot has no torque limits" in result.stdout


def test_a_video_needs_no_torch_either(make_exported, tmp_path):
    result = command(make_exported("mlp").folder, "--clip", "1", "--video", tmp_path / "out.mp4")
    if result.returncode == 2 and "OpenGL" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert result.returncode in (0, 1), result.stderr
    assert (tmp_path / "out.mp4").stat().st_size > 5000


def test_faults_are_one_line(make_exported, tmp_path):
    result = command(tmp_path / "nowhere")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_the_exit_code_tells_of_lost_clips(make_exported, tmp_path, capsys):
    folder = edited(make_exported("mlp").folder, tmp_path, termination_distance=0.02)
    assert run([str(folder), "--clip", "0"]) == 1
    assert "lost after" in capsys.readouterr().out
