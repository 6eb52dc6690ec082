import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from puffer_phc.config import ROOT, Config
from puffer_phc.errors import InputError
from puffer_phc.training import checkpoint
from puffer_phc.training.import_phc import convert

OBS, ACTIONS, HIDDEN = 934, 69, (40, 32, 24)
ROBOT = "smpl"


class Layout(nn.Module):
    """A network as puffer-phc lays it out: LayerNorm before the last activation, heads beside the trunks."""

    def __init__(self, obs=OBS, actions=ACTIONS, hidden=HIDDEN, norm=True):
        super().__init__()
        self.obs_norm = nn.Module()
        self.obs_norm.register_buffer("running_mean", torch.randn(obs))
        self.obs_norm.register_buffer("running_var", torch.rand(obs) + 0.5)
        self.obs_norm.register_buffer("count", torch.tensor(1234.0))
        self.actor_mlp, self.critic_mlp = trunk(obs, hidden, norm), trunk(obs, hidden, norm)
        self.mu, self.value = nn.Linear(hidden[-1], actions), nn.Linear(hidden[-1], 1)
        self.register_buffer("sigma", torch.full((actions,), -2.9))

    def forward(self, obs):
        scaled = (obs - self.obs_norm.running_mean) / (self.obs_norm.running_var + 1e-5).sqrt()
        scaled = scaled.clamp(-10, 10)
        return self.mu(self.actor_mlp(scaled)), self.value(self.critic_mlp(scaled))[:, 0]


def trunk(obs, hidden, norm):
    layers, width = [], obs
    for index, size in enumerate(hidden):
        layers.append(nn.Linear(width, size))
        if norm and index == len(hidden) - 1:
            layers.append(nn.LayerNorm(size))
            nn.init.normal_(layers[-1].weight)
            nn.init.normal_(layers[-1].bias)
        layers.append(nn.SiLU())
        width = size
    return nn.Sequential(*layers)


def renamed(state, mapping):
    return OrderedDict((mapping(name, index), value) for index, (name, value) in enumerate(state.items()))


def imported(tmp_path, data, **other):
    torch.save(data, tmp_path / "model.pt")
    size = {"robot_name": ROBOT, "num_obs": OBS, "num_actions": ACTIONS, **other}
    convert(tmp_path / "model.pt", tmp_path / "ours.pt", Config(), **size)
    read = checkpoint.load(tmp_path / "ours.pt")
    policy = checkpoint.load_policy(read, ROBOT, OBS, ACTIONS, "here")
    return read, policy


@torch.no_grad()
def agree(layout, policy):
    obs = 3.0 * torch.randn(16, OBS)
    mean, value, _ = policy.step(policy.obs_norm(obs), policy.initial_state(16), torch.zeros(16, dtype=torch.bool))
    expected_mean, expected_value = layout(obs)
    torch.testing.assert_close(mean, expected_mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(value, expected_value, rtol=1e-4, atol=1e-5)


def test_puffer_phcs_file_acts_as_it_did(tmp_path):
    layout = Layout()
    data = {"config": {"learning_rate": 1e-4}, "state_dict": renamed(layout.state_dict(), lambda n, _: f"policy.{n}")}
    read, policy = imported(tmp_path, data)
    agree(layout, policy)
    cfg = checkpoint.config_of(read)
    assert cfg.env.action_mode == "absolute"
    assert cfg.policy.hidden == HIDDEN
    assert float(policy.obs_norm.count) == 1234.0
    assert float(policy.log_std[0]) == pytest.approx(-2.9)


def test_phcs_file_with_numpy_numbers_and_an_optimiser(tmp_path):
    layout = Layout()
    state = renamed(layout.state_dict(), lambda name, _: f"a2c_network.{name}")
    disc = {"disc.0.weight": torch.randn(8, 1960), "disc.0.bias": torch.randn(8)}
    disc |= {"disc_logits.weight": torch.randn(1, HIDDEN[-1]), "disc_logits.bias": torch.randn(1)}
    optimiser = {"state": {0: {"exp_avg": torch.randn(HIDDEN[0], OBS)}}}
    data = {"model": {**state, **disc}, "optimizer": optimiser, "last_mean_rewards": np.float64(3.0)}
    agree(layout, imported(tmp_path, data)[1])


def test_names_that_say_nothing_are_read_by_shape_and_order(tmp_path):
    layout = Layout()

    def anonymous(name, index):
        stem, _, end = name.rpartition(".")
        order = list(dict.fromkeys(each.rpartition(".")[0] for each in layout.state_dict()))
        return f"m{order.index(stem)}.{end}" if end in ("weight", "bias") else f"b{index}"

    agree(layout, imported(tmp_path, renamed(layout.state_dict(), anonymous))[1])


def test_a_critic_that_comes_first_is_told_by_its_name(tmp_path):
    layout = Layout()
    state = layout.state_dict()
    order = sorted(state, key=lambda name: not name.startswith(("critic", "value")))
    agree(layout, imported(tmp_path, OrderedDict((name, state[name]) for name in order))[1])


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ({"obs": 576}, "0 networks of 934 observations"),
        ({"actions": 28}, "no layer with 69 outputs"),
        ({"norm": False}, "no LayerNorm"),
    ],
)
def test_another_network_is_refused_and_named(tmp_path, layout, words):
    with pytest.raises(InputError, match=words):
        imported(tmp_path, Layout(**layout).state_dict())
    assert not (tmp_path / "ours.pt").exists()


def test_a_file_without_statistics_is_refused(tmp_path):
    state = {name: value for name, value in Layout().state_dict().items() if "running" not in name}
    with pytest.raises(InputError, match="0 rows of 934 statistics"):
        imported(tmp_path, state)


class Trap:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_code_in_a_file_does_not_run(tmp_path, capsys):
    with pytest.raises(InputError, match="holds more than numbers"):
        imported(tmp_path, {"config": Trap(), "state_dict": Layout().state_dict()})
    assert "must not run" not in capsys.readouterr().out


def test_damage_is_one_line(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(InputError, match="no readable checkpoint"):
        convert(tmp_path / "model.pt", tmp_path / "ours.pt", Config(), ROBOT, OBS, ACTIONS)


def test_the_script_writes_what_can_be_evaluated(tmp_path):
    torch.save({"state_dict": Layout().state_dict()}, tmp_path / "model.pt")
    command = [sys.executable, str(ROOT / "scripts" / "import_checkpoint.py"), str(tmp_path / "model.pt")]
    done = subprocess.run([*command, "--out", str(tmp_path / "o.pt")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--mode eval" in done.stdout
    assert checkpoint.load(tmp_path / "o.pt")["num_obs"] == OBS
