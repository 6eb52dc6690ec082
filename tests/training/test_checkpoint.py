"""Checkpoints: what goes in comes out, and nothing else comes in."""

import errno
import io
import os
import pickle
import random
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from puffer_phc.config import BaseConfig, Config, PolicyConfig, TrainConfig, to_dict
from puffer_phc.errors import InputError
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training import checkpoint

OBS, ACTIONS = 5, 2
CONFIG = Config(
    base=BaseConfig(name="walk", seed=7),
    policy=PolicyConfig(kind="lstm", hidden=(8, 4), lstm_size=3, log_std=-1.25),
    train=TrainConfig(learning_rate=1e-3),
)


def make_policy():
    torch.manual_seed(0)
    policy = ActorCritic(OBS, ACTIONS, CONFIG.policy, CONFIG.policy.hidden)
    policy.obs_norm.merge(torch.randn(OBS), torch.rand(OBS), torch.tensor(12.0))
    return policy


def content(**changes):
    data = {"config": to_dict(CONFIG), "robot": "smpl", "num_obs": OBS, "num_actions": ACTIONS}
    return {**data, "policy": make_policy().state_dict(), "steps": 640, "best": (0.5, -31.0), **changes}


@pytest.fixture
def saved(tmp_path):
    checkpoint.save(tmp_path / "last.pt", content())
    return tmp_path / "last.pt"


def refused(path):
    """The message of a refusal: one line that begins with the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning would be a second line for the user
        with pytest.raises(InputError) as error:
            checkpoint.load(path)
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    assert error.value.remedy
    return text


class Malicious:
    """Unpickling it runs code: a file appears."""

    def __init__(self, witness):
        self.witness = str(witness)

    def __reduce__(self):
        return os.mkdir, (self.witness,)


def test_round_trip(saved):
    data = checkpoint.load(saved)
    assert checkpoint.config_of(data) == CONFIG
    assert (data["steps"], tuple(data["best"])) == (640, (0.5, -31.0))
    policy, original = checkpoint.load_policy(data, "smpl", OBS, ACTIONS, str(saved)), make_policy()
    assert policy.obs_norm.count.item() == 12
    obs, state = torch.randn(4, OBS), torch.randn(4, policy.state_size)
    fresh = torch.tensor([True, False, False, True])
    for mine, theirs in zip(policy.act(obs, state, fresh), original.act(obs, state, fresh), strict=True):
        assert torch.equal(mine, theirs)


def test_saving_leaves_one_file_and_replaces_the_old_one(saved):
    checkpoint.save(saved, content(steps=1280))
    assert checkpoint.load(saved)["steps"] == 1280
    assert [path.name for path in saved.parent.iterdir()] == ["last.pt"]


def test_a_run_folder_stands_for_its_best(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    assert "best.pt" in refused(tmp_path / "run")
    checkpoint.save(folder / checkpoint.LAST, content(steps=2))
    assert checkpoint.load(tmp_path / "run")["steps"] == 2
    checkpoint.save(folder / checkpoint.BEST, content(steps=1))
    assert checkpoint.load(tmp_path / "run")["steps"] == 1


def test_missing_file(tmp_path):
    assert "does not exist" in refused(tmp_path / "none.pt")


def half(data):
    return data[: len(data) // 2]


def noise(_):
    return random.Random(3).randbytes(4096)


@pytest.mark.parametrize("damage", [lambda _: b"", half, lambda data: data[:-1], noise])
def test_damaged_file(saved, damage):
    saved.write_bytes(damage(saved.read_bytes()))
    refused(saved)


def load_or_refuse(path):
    refusal = None
    try:
        return checkpoint.load(path)
    except InputError as error:
        refusal = str(error)
    assert "\n" not in refusal
    return None


# Nothing, a pickle, a torch file of the old kind, a zip archive.
STARTS = (b"", b"\x80\x02", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"PK\x03\x04")
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@RELAXED
@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\x80\x02", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"PK\x03\x04"]),
)
def test_random_bytes_are_refused(tmp_path, data, start):
    path = tmp_path / "random.pt"
    path.write_bytes(start + data)
    assert load_or_refuse(path) is None


@RELAXED
@given(st.data())
def test_changed_bytes_never_end_in_another_error(tmp_path, data):
    path = tmp_path / "changed.pt"
    if not path.exists():
        checkpoint.save(path, content())
    original = path.read_bytes()
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(changed)
    try:
        load_or_refuse(path)
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_a_file_is_not_run(tmp_path, legacy, protocol):
    path, witness = tmp_path / "evil.pt", tmp_path / "ran"
    data = content(extra=Malicious(witness))
    torch.save(data, path, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol)
    refused(path)
    assert not witness.exists()
    pickle.loads(pickle.dumps(Malicious(witness)))
    assert witness.exists(), "the trap does not work"


def test_code_in_a_plain_pickle_is_not_run(tmp_path):
    path, witness = tmp_path / "evil.pt", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"format": checkpoint.FORMAT, "version": 1, "x": Malicious(witness)}))
    refused(path)
    assert not witness.exists()


def torch_bytes(data):
    stream = io.BytesIO()
    torch.save(data, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [{"state_dict": {}, "config": {}}, {"format": "other", "version": 1}, [1, 2], torch.zeros(3)],
    ids=["dict", "other format", "list", "tensor"],
)
def test_files_of_other_programs(tmp_path, data):
    path = tmp_path / "foreign.pt"
    path.write_bytes(torch_bytes(data))
    assert "no checkpoint of this program" in refused(path)


def test_zip_that_is_no_torch_file(tmp_path):
    path = tmp_path / "archive.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(path)


def test_newer_version(tmp_path):
    path = tmp_path / "new.pt"
    path.write_bytes(torch_bytes({"format": checkpoint.FORMAT, "version": checkpoint.VERSION + 1}))
    assert f"version {checkpoint.VERSION + 1}" in refused(path)


@pytest.mark.parametrize("version", [None, "1", [1]])
def test_a_version_that_is_no_number(tmp_path, version):
    path = tmp_path / "odd.pt"
    path.write_bytes(torch_bytes(content(format=checkpoint.FORMAT) | ({"version": version} if version else {})))
    refused(path)


def policy_refused(data, *, robot="smpl", num_obs=OBS, num_actions=ACTIONS):
    with pytest.raises(InputError) as error:
        checkpoint.load_policy(data, robot, num_obs, num_actions, "some.pt")
    assert str(error.value).startswith("some.pt: ")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_robot_or_observation():
    assert "'smpl'" in policy_refused(content(), robot="amp")
    assert str(OBS) in policy_refused(content(), num_obs=OBS + 1)
    assert str(ACTIONS) in policy_refused(content(), num_actions=ACTIONS + 1)


@pytest.mark.parametrize("lost", ["config", "robot", "num_obs", "policy"])
def test_parts_that_are_missing(tmp_path, lost):
    """A file with our mark but not our content is refused like any other damage, wherever that is noticed."""
    data = content()
    del data[lost]
    checkpoint.save(tmp_path / "part.pt", data)
    with pytest.raises(InputError):
        checkpoint.load_policy(checkpoint.load(tmp_path / "part.pt"), "smpl", OBS, ACTIONS, "part.pt")


def test_weights_of_another_network():
    other = ActorCritic(OBS, ACTIONS, CONFIG.policy, (8, 6)).state_dict()
    policy_refused(content(policy=other))


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def unwritable(path):
    with pytest.raises(InputError) as error:
        checkpoint.save(path, content(steps=99))
    assert str(error.value).startswith(f"{path}: checkpoint cannot be written")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_full_disk_leaves_the_old_checkpoint(saved, monkeypatch):
    monkeypatch.setattr(torch, "save", full_disk)
    assert "No space left" in unwritable(saved)
    monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", full_disk)
    unwritable(saved)
    assert checkpoint.load(saved)["steps"] == 640
    assert [path.name for path in saved.parent.iterdir()] == ["last.pt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_full(saved):
    """The temporary file is a link to a device without space, so that torch itself meets the error."""
    saved.with_name(f".last.pt.{os.getpid()}").symlink_to("/dev/full")
    unwritable(saved)
    assert checkpoint.load(saved)["steps"] == 640
    assert [path.name for path in saved.parent.iterdir()] == ["last.pt"]


def test_a_folder_that_is_missing_or_no_folder(saved):
    assert "No such file" in unwritable(saved.parent / "none" / "last.pt")
    assert "Not a directory" in unwritable(saved / "last.pt")
