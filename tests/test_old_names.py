import re

import pytest

from puffer_phc.cli import _option_names, main, parse
from puffer_phc.config import Config
from puffer_phc.config_files import load_ini
from puffer_phc.errors import InputError
from puffer_phc.old_names import OLD_NAMES, refuse_old_flags, remedy

SCRIPT_OR_NOTHING = ("nothing", "scripts/")


@pytest.mark.parametrize("old", OLD_NAMES)
def test_what_is_recommended_exists(old):
    ours = OLD_NAMES[old][1]
    named = re.findall(r"--([a-z_]+(?:\.[a-z0-9_]+)?)", ours)
    assert named or ours.startswith(SCRIPT_OR_NOTHING)
    assert set(named) - {"help"} <= _option_names()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--train.update_epochs", "4"], "option of puffer-phc; here it is --train.epochs"),
        (["--train.clip-coef=0.1"], "here it is --train.clip"),
        (["--kp_scale", "2"], "here it is --robot.kp_scale"),
        (["--headless"], "nothing: training opens no window"),
        (["--task.env.numEnvs", "64"], "option of IsaacGymEnvs; here it is --env.num_envs"),
    ],
)
def test_an_old_flag_is_one_line_with_its_new_name(flags, words, capsys):
    assert main(flags) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_our_own_options_of_the_same_name_work():
    cfg = parse(["--robot.kp_scale", "2", "--deepmimic.tar_obs_steps", "1", "2"])
    assert cfg.robot.kp_scale == 2.0


def test_values_are_no_flags():
    refuse_old_flags(["--name", "tau", "discount"], {"name"})


def test_an_old_name_in_an_ini_file_tells_the_new_one(tmp_path):
    file = tmp_path / "old.ini"
    file.write_text("[train]\nvf_coef = 1.2\n")
    with pytest.raises(InputError, match=r"old.ini: 'vf_coef' in \[train\] is an option of puffer-phc; here it is"):
        load_ini(Config(), file)


def test_a_name_nobody_knows_has_no_remedy():
    assert remedy("--train.nonsense") is None
