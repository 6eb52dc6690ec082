"""Exported files against the policy they come from."""

import copy
import hashlib
import json
import re

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from small_policy import make_policy, save_checkpoint

from puffer_phc import cli
from puffer_phc.deployment.agreement import TOLERANCE, collect, largest_differences
from puffer_phc.deployment.export import Source, describe, export_policy
from puffer_phc.deployment.metadata import parse_metadata
from puffer_phc.deployment.runner import PolicyRunner
from puffer_phc.errors import InputError
from puffer_phc.robots.robot import PhysicsOptions

FILES = {"policy.onnx", "policy.pt", "obs_norm.npz", "robot.xml", "metadata.json", "motions.npz"}


def by_hand(policy, env, steps):
    """Observation, pose ahead, and what the environment is told to do, step by step, noise included."""
    torch.manual_seed(5)
    obs = env.play_clips(torch.arange(env.num_envs) % env.library.num_clips)
    state = policy.initial_state(env.num_envs)
    for _ in range(steps):
        with torch.no_grad():
            action, state = policy.act(obs, state, torch.zeros(env.num_envs, dtype=torch.bool))
        lead = env.actions.cfg.action_lead
        ahead = env.library.dof_pos_at(env.clip_ids, env.time(lead))
        yield obs.clone(), ahead, env.actions(action), action.clamp(-1, 1)
        env.track(action + 0.1 * torch.randn_like(action))
        obs = env.obs


def test_a_folder_holds_all_files(exported):
    assert {file.name for file in exported.folder.iterdir()} == FILES
    assert "policy.onnx" in exported.said
    assert "policy.pt" in exported.said


@pytest.mark.parametrize("rows", [1, 4])
def test_onnx_acts_as_the_policy_step_after_step(exported, rows):
    """The state of a recurrent policy is carried along; row counts do not matter."""
    runner = PolicyRunner(exported.folder)
    for obs, ahead, target, action in by_hand(exported.policy, exported.env, 6):
        found_target, found_action = runner.act(obs[:rows].numpy(), ahead[:rows].numpy())
        np.testing.assert_allclose(found_action, action[:rows], atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(found_target, target[:rows], atol=5 * TOLERANCE, rtol=0)
        assert np.abs(found_action).max() > 0.01


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_and_onnx_agree_for_any_number_of_rows(exported, rows):
    runner = PolicyRunner(exported.folder)
    module = torch.jit.load(str(exported.folder / "policy.pt"))
    widths = {"obs": 934, "reference_dof_pos": 69, "state": runner.metadata.state_size}
    generator = torch.Generator().manual_seed(rows)
    inputs = {name: torch.randn(rows, widths[name], generator=generator) for name in runner.metadata.inputs}
    outputs = runner.outputs({name: tensor.numpy() for name, tensor in inputs.items()})
    for ours, theirs in zip(outputs, module(*inputs.values()), strict=True):
        assert len(ours) == rows
        np.testing.assert_allclose(ours, theirs.detach(), atol=5 * TOLERANCE, rtol=0)


def test_only_what_a_policy_has_is_an_input(make_exported):
    reference = ("obs", "reference_dof_pos")
    for kind, inputs in {
        "mlp": reference,
        "lstm": (*reference, "state"),
        "absolute": ("obs",),
    }.items():
        session = ort.InferenceSession(str(make_exported(kind).folder / "policy.onnx"))
        assert tuple(item.name for item in session.get_inputs()) == inputs
        assert [item.shape[0] for item in session.get_inputs()] == ["batch"] * len(inputs)
    assert PolicyRunner(make_exported("lstm").folder).metadata.state_size == 32


def test_a_new_episode_forgets(make_exported):
    runner = PolicyRunner(make_exported("lstm").folder)
    obs, ahead = np.full((1, 934), 0.1, np.float32), np.zeros((1, 69), np.float32)
    first = runner.act(obs, ahead)[1]
    assert np.abs(runner.act(obs, ahead)[1] - first).max() > 1e-4
    runner.reset()
    np.testing.assert_array_equal(runner.act(obs, ahead)[1], first)


def test_the_onnx_file_stands_alone(exported):
    model = onnx.load(exported.folder / "policy.onnx", load_external_data=False)
    onnx.checker.check_model(model)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 18)]
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    inside = {item.key: item.value for item in model.metadata_props}["puffer_phc"]
    assert inside == (exported.folder / "metadata.json").read_text()


def test_metadata_tell_robot_and_training(exported):
    data = json.loads((exported.folder / "metadata.json").read_text())
    env, robot = exported.env, exported.env.robot
    assert data["robot"]["body_names"] == list(robot.body_names)
    assert data["robot"]["dof_names"][:3] == ["L_Hip_x", "L_Hip_y", "L_Hip_z"]
    assert data["robot"]["kp"] == robot.kp.tolist()
    assert data["robot"]["torque_limit"] == [None] * 69
    assert data["control_dt"] == pytest.approx(1 / 30)
    assert (data["substeps"], data["training_steps"]) == (2, 4096)
    assert sum(block["size"] for block in data["observation"]["blocks"]) == data["observation"]["size"] == 934
    assert data["checkpoint_sha256"] == hashlib.sha256(exported.file.read_bytes()).hexdigest()
    assert {clip["name"] for clip in data["evaluation"]} <= set(env.library.names)
    assert all(clip["mpjpe_g"] > 0 for clip in data["evaluation"])


def test_the_normaliser_for_other_engines(exported):
    norm, obs = exported.policy.obs_norm, 3 * torch.randn(5, 934)
    with np.load(exported.folder / "obs_norm.npz") as data:
        ours = ((obs.numpy() - data["mean"]) / data["std"]).clip(-data["clip"], data["clip"])
    np.testing.assert_allclose(ours, norm(obs), atol=1e-4, rtol=1e-5)


def test_a_wrong_observation_is_refused(make_exported):
    folder = make_exported("mlp").folder
    ahead = np.zeros((2, 69), np.float32)
    session = ort.InferenceSession(str(folder / "policy.onnx"))
    with pytest.raises(Exception, match="Got: 933 Expected: 934"):
        session.run(None, {"obs": np.zeros((2, 933), np.float32), "reference_dof_pos": ahead})
    runner = PolicyRunner(folder)
    with pytest.raises(InputError, match=r"obs: is 2 x 933, .*policy.onnx takes N x 934"):
        runner.act(np.zeros((2, 933)), ahead)
    with pytest.raises(InputError, match="reference_dof_pos: is missing"):
        runner.act(np.zeros((2, 934)))
    with pytest.raises(InputError, match="different numbers of rows"):
        runner.act(np.zeros((3, 934)), ahead)


def test_samples_are_of_many_states(make_exported):
    """Real observations: of all clips, of new and old episodes, hardly two alike."""
    exported = make_exported("lstm")
    samples = collect(exported.env, exported.policy, 130)
    obs = samples.inputs["obs"]
    assert obs.shape == (130, 934)
    assert len(torch.unique(obs, dim=0)) > 120
    zero = (samples.inputs["state"] == 0).all(dim=1)
    assert 4 <= zero.sum() < 130


@pytest.mark.parametrize("part", ["weight", "normaliser", "metadata"])
def test_a_file_of_another_policy_does_not_agree(make_exported, part):
    exported = make_exported("mlp")
    policy = copy.deepcopy(exported.policy)
    metadata = parse_metadata((exported.folder / "metadata.json").read_text(), "it")
    if part == "weight":
        with torch.no_grad():
            policy.mean_head.weight[0, 0] += 0.01
    elif part == "normaliser":
        policy.obs_norm.mean[:] += 0.01
    samples = collect(exported.env, policy, 50)
    if part == "metadata":
        samples.outputs["target"][7, 3] += 1e-3
    assert min(largest_differences(exported.folder, samples, metadata).values()) > TOLERANCE


def test_nothing_wrong_is_left_behind(make_exported, tmp_path):
    """A policy that cannot agree, not even with itself: what was there before stays."""
    exported = make_exported("mlp")
    policy = copy.deepcopy(exported.policy)
    with torch.no_grad():
        policy.mean_head.bias[3] = float("nan")
    (tmp_path / "policy.onnx").write_text("older")
    with pytest.raises(InputError, match=r"policy.onnx: differs from the checkpoint by inf, more than 1e-05"):
        export_policy(exported.env, policy, Source(exported.file, 0, PhysicsOptions(), 0.5, 0, ()), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["policy.onnx"]
    assert (tmp_path / "policy.onnx").read_text() == "older"


def test_the_command_line_tells_how_well_files_agree(make_exported):
    exported = make_exported("absolute")
    told = re.findall(r"differs from the checkpoint by at most (\S+) \(1,000 observations\)", exported.said)
    assert len(told) == 2
    assert max(map(float, told)) <= TOLERANCE
    assert f"sim2sim.py {exported.folder}" in exported.said


def test_a_critics_state_is_not_exported(make_exported):
    env = make_exported("mlp").env
    source = Source(make_exported("mlp").file, 0, PhysicsOptions(), 0.5, 0, ())
    assert describe(env, make_policy(env, "lstm_critic"), source).inputs == ("obs", "reference_dof_pos")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"robot": "g1"}, r"is for robot 'g1', not 'smpl'"),
        ({"num_obs": 105}, r"takes 105 observations and 69 actions, the environment has 934 and 69"),
    ],
)
def test_a_checkpoint_of_something_else_is_one_line(make_exported, tmp_path, capsys, changes, told):
    file = save_checkpoint(tmp_path / "other.pt", make_exported("mlp").policy, **changes)
    assert cli.main(["--mode", "export", "-c", str(file)]) == 2
    error = capsys.readouterr().err
    assert re.search(told, error)
    assert error.count("\n") == 1
    assert not (tmp_path / "export").exists()


def test_policies_of_the_tests_differ(make_exported):
    """The fixture's policies are no constants: what agrees, agrees in something."""
    policy = make_policy(make_exported("mlp").env)
    norm = policy.obs_norm
    assert norm.mean.abs().max() > 0.5
    assert norm.var.min() < 0.5 < 2 * norm.var.max()
