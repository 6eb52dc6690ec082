"""Options: ini files, values, defaults of the device, and the numbers that are refused."""

import configparser
import dataclasses
import json
import typing
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_phc.config import (
    ROOT,
    BaseConfig,
    Config,
    EnvConfig,
    EvalConfig,
    PolicyConfig,
    TrainConfig,
    from_dict,
    resolve,
    resolve_device,
    to_dict,
)
from puffer_phc.config_checks import check
from puffer_phc.config_files import load_ini, parse_value
from puffer_phc.errors import InputError
from puffer_phc.policies.actor_critic import PHC_HIDDEN
from puffer_phc.training.amp import StyleConfig

INI = ROOT / "config.ini"
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def options():
    """(section, name, type) of every option."""
    for section in dataclasses.fields(Config):
        for name, hint in typing.get_type_hints(typing.get_type_hints(Config)[section.name]).items():
            yield section.name, name, hint


def another(value, hint):
    """A value of the same type that is not the default."""
    if typing.get_origin(hint) is Literal:
        return next(choice for choice in typing.get_args(hint) if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return (*value, 3) if isinstance(value, tuple) else value + "x"


def changed():
    """Options that all differ from their defaults."""
    data = to_dict(Config())
    for section, name, hint in options():
        data[section][name] = another(data[section][name], hint)
    return from_dict(data)


def refused(work, *words):
    with pytest.raises(InputError) as error:
        work()
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert str(word) in text
    return text


def write(tmp_path, text, name="my.ini"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_shipped_ini_file_holds_every_default():
    """Laid over options that are all different, it restores every one of them."""
    before, after, default = to_dict(changed()), to_dict(load_ini(changed(), INI)), to_dict(Config())
    for section, name, _ in options():
        assert before[section][name] != default[section][name]
    wrong = {
        f"{section}.{name}": after[section][name]
        for section, name, _ in options()
        if after[section][name] != default[section][name]
    }
    assert not wrong


def test_the_shipped_ini_file_explains_every_option():
    lines = INI.read_text().splitlines()
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(INI)
    for section, name, _ in options():
        assert name in parser[section], f"{section}.{name}"
    for number, line in enumerate(lines):
        assert len(line) <= 120
        if line.startswith("[") and line != "[sweep]":
            assert lines[number + 1].startswith("#"), line


def test_an_ini_file_changes_what_it_names(tmp_path):
    path = write(
        tmp_path,
        "[train]\nlearning_rate = 1e-3  # a comment\nepochs=3\n[policy]\nkind = lstm\nhidden = 64, 32\n"
        "[base]\ntrack = TRUE\noutput = a b/c\n[sweep]\nwhatever = 1\n[sweep.train.gamma]\nmin = 0\n",
    )
    cfg = load_ini(Config(), path)
    assert cfg == Config(
        base=BaseConfig(track=True, output="a b/c"),
        policy=PolicyConfig(kind="lstm", hidden=(64, 32)),
        train=TrainConfig(learning_rate=1e-3, epochs=3),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[trian]\nepochs = 2\n", ["[trian]", "train"]),
        ("[train]\nepoch = 2\n", ["'epoch'", "[train]", "epochs"]),
        ("[train]\nepochs = two\n", ["epochs", "two", "whole number"]),
        ("[train]\ngamma = high\n", ["gamma", "high", "a number"]),
        ("[policy]\nkind = gru\n", ["kind", "gru", "lstm_critic"]),
        ("[policy]\nhidden = 64 x\n", ["hidden", "64 x", "whole number"]),
        ("[base]\ntrack = yes\n", ["track", "yes", "true or false"]),
        ("epochs = 2\n", ["no ini file"]),
        ("[train]\nepochs = 1\nepochs = 2\n", ["no ini file", "epochs"]),
        ("[train\n", ["no ini file"]),
        ("[train]\nlearning_rate\n", ["no ini file"]),
    ],
)
def test_mistakes_in_an_ini_file_are_named(tmp_path, text, words):
    path = write(tmp_path, text)
    refused(lambda: load_ini(Config(), path), path, *words)


def test_files_that_are_none(tmp_path):
    refused(lambda: load_ini(Config(), tmp_path / "none.ini"), tmp_path / "none.ini", "No such file")
    refused(lambda: load_ini(Config(), tmp_path), tmp_path)
    path = tmp_path / "binary.ini"
    path.write_bytes(b"\x93NUMPY\xff\xfe\x00" * 9)
    refused(lambda: load_ini(Config(), path), path, "no ini file")


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("true", bool, True),
        ("False", bool, False),
        ("12", int, 12),
        ("-3", int, -3),
        ("1_000_000", int, 1_000_000),
        ("1e-4", float, 1e-4),
        ("7", float, 7.0),
        ("", str, ""),
        ("a = b", str, "a = b"),
        ("", tuple[int, ...], ()),
        ("8", tuple[int, ...], (8,)),
        ("8, 16 32,64", tuple[int, ...], (8, 16, 32, 64)),
        ("b", Literal["a", "b"], "b"),
        ("none", int | None, None),
        ("", int | None, None),
        ("4", int | None, 4),
        ("0.5", float | None, 0.5),
    ],
)
def test_values(text, hint, value):
    parsed = parse_value(text, hint)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1", bool),
        ("", bool),
        ("1.0", int),
        ("1e3", int),
        ("", int),
        ("0x1", int),
        ("1,5", float),
        ("", float),
        ("8 x", tuple[int, ...]),
        ("A", Literal["a", "b"]),
    ],
)
def test_values_that_are_none(text, hint):
    with pytest.raises(ValueError, match="expected"):
        parse_value(text, hint)


@settings(deadline=None)
@given(st.floats(allow_nan=False), st.integers(), st.lists(st.integers(1, 9999)))
def test_what_is_written_is_read_back(number, whole, sizes):
    assert parse_value(repr(number), float) == number
    assert parse_value(str(whole), int) == whole
    assert parse_value(" ".join(map(str, sizes)), tuple[int, ...]) == tuple(sizes)


def test_sizes_on_a_cpu_and_on_a_gpu():
    cpu, gpu = resolve(Config(), CPU), resolve(Config(), CUDA)
    assert 0 < cpu.env.num_envs < gpu.env.num_envs
    assert gpu.policy.hidden == PHC_HIDDEN
    assert 0 < max(cpu.policy.hidden) <= 512
    assert (cpu.train.time_limit, gpu.train.time_limit) == (180.0, -1.0)
    for cfg in (cpu, gpu):
        assert min(cfg.train.epochs, cfg.train.horizon, cfg.train.total_steps, cfg.eval.num_envs) > 0
        check(cfg)
        assert resolve(cfg, CPU) == resolve(cfg, CUDA) == cfg


def test_what_is_given_is_kept():
    cfg = Config(
        env=EnvConfig(num_envs=3),
        policy=PolicyConfig(hidden=(5,)),
        style=StyleConfig(
            steps=3,
            root="global",
            task_weight=0.5,
            hidden=(8,),
            batch=16,
            demo_buffer=700,
            demo_fresh=9,
            replay_buffer=90,
        ),
        train=TrainConfig(epochs=6, horizon=24, total_steps=7, time_limit=-1.0),
        eval=EvalConfig(num_envs=2),
    )
    assert resolve(cfg, CPU) == resolve(cfg, CUDA) == cfg


def test_dictionaries_and_back():
    for cfg in (Config(), changed(), resolve(Config(), CUDA)):
        assert from_dict(to_dict(cfg)) == cfg
        assert from_dict(json.loads(json.dumps(to_dict(cfg)))) == cfg


def test_options_of_another_version_are_left_out_or_default():
    data = to_dict(changed())
    data["train"]["of_the_future"] = 1
    data["future"] = {"a": 1}
    del data["train"]["gamma"], data["robot"]
    cfg = from_dict(data)
    assert cfg.train == dataclasses.replace(changed().train, gamma=Config().train.gamma)
    assert cfg.robot == Config().robot


def test_devices():
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("banana", "", "mps", "cpu:x"):
        refused(lambda name=name: resolve_device(name), "--device")
    if not torch.cuda.is_available():
        refused(lambda: resolve_device("cuda:0"), "--device", "cuda:0", "--device cpu")


NAN = float("nan")


@pytest.mark.parametrize(
    ("option", "bad", "good"),
    [
        ("env.num_envs", [-1], [0, 1]),
        ("env.termination_distance", [0.0, -1.0, NAN], [0.01]),
        ("env.adaptive", [-0.1, 1.0, NAN], [0.0, 0.9]),
        ("env.bin_seconds", [0.0, NAN], [0.1]),
        ("robot.timestep", [0.0, -0.01, NAN], [0.005]),
        ("robot.substeps", [0], [1]),
        ("robot.kp_scale", [0.0, NAN], [0.5]),
        ("train.minibatches", [0], [1]),
        ("train.epochs", [-1], [0, 1]),
        ("train.gamma", [-0.1, 1.0, NAN], [0.0, 0.999]),
        ("train.gae_lambda", [-0.1, 1.1, NAN], [0.0, 1.0]),
        ("train.average", [-0.1, 1.0, NAN], [0.0, 0.9]),
        ("train.horizon", [-8], [0, 8]),
        ("train.total_steps", [-1], [0, 1]),
        ("train.segment", [0], [1]),
        ("eval.num_envs", [-1], [0, 1]),
        ("eval.termination_distance", [0.0, NAN], [0.1]),
        ("policy.hidden", [(0,), (64, -1)], [(), (8,)]),
        ("policy.lstm_size", [0, -1], [1]),
        ("base.threads", [-1], [0, 1]),
        ("robot.integrator", ["euler", ""], ["discrete", "implicitfast"]),
        ("env.ema", [0.0, -1.0, 1.1, NAN], [0.05, 1.0]),
        ("train.learning_rate", [-1e-5, NAN], [0.0, 1e-3]),
        ("train.clip", [-1.0, NAN], [0.0, 0.2]),
        ("train.time_limit", [NAN], [-1.0, 0.0, float("inf")]),
        ("reward.w_pos", [-0.1, NAN], [0.0, 1.0]),
        ("deepmimic.k_pose", [-0.1, NAN], [0.0, 1.0]),
        ("style.grad_penalty", [-1.0, NAN], [0.0, 5.0]),
        ("policy.log_std", [NAN], [-2.3, 0.0]),
    ],
)
def test_numbers_that_cannot_work(option, bad, good):
    section, name = option.split(".")

    def having(value):
        changed_section = dataclasses.replace(getattr(Config(), section), **{name: value})
        return dataclasses.replace(Config(), **{section: changed_section})

    for value in good:
        check(having(value))
    for value in bad:
        flag = name if section == "base" else option
        refused(lambda value=value: check(having(value)), f"--{flag}")


@pytest.mark.parametrize("kind", ["mlp", "lstm", "lstm_critic"])
def test_recurrent_policies_need_whole_segments(kind):
    cfg = Config(policy=PolicyConfig(kind=kind), train=TrainConfig(horizon=12, segment=8))
    if kind == "mlp":
        check(cfg)
    else:
        refused(lambda: check(cfg), "--train.horizon", "--train.segment")
        check(dataclasses.replace(cfg, train=TrainConfig(horizon=16, segment=8)))
