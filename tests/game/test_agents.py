"""Who moves what: names, defaults and refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_phc.errors import InputError
from puffer_phc.game.agents import default_agents, parse_agents
from puffer_phc.robots.amp_humanoid import amp_humanoid_robot
from puffer_phc.robots.smpl import smpl_robot

SMPL, HUMANOID = smpl_robot(), amp_humanoid_robot()


def test_the_prosthesis_is_what_hangs_below_the_left_hip():
    assert default_agents(SMPL) == "human=* prosthesis=L_Knee,L_Ankle,L_Toe"
    agents = parse_agents("", SMPL)
    assert agents.names == ("human", "prosthesis")
    names = [SMPL.model.actuator(dof).name for dof in agents.of("prosthesis")]
    assert names == [f"{joint}_{axis}" for joint in ("L_Knee", "L_Ankle", "L_Toe") for axis in "xyz"]
    # HumaniPro's slice of the last four.
    assert parse_agents("", HUMANOID).of("prosthesis") == (24, 25, 26, 27)


def test_names_are_dofs_joints_or_bodies():
    agents = parse_agents("a=left_ankle_y, left_knee b=right_thigh c=*", HUMANOID)
    model = HUMANOID.model
    assert [model.actuator(dof).name for dof in agents.of("a")] == ["left_knee", "left_ankle_y"]
    assert [model.actuator(dof).name for dof in agents.of("b")] == ["right_hip_x", "right_hip_y", "right_hip_z"]
    assert len(agents.of("c")) == 28 - 5
    assert agents.others("c") == tuple(sorted(agents.of("a") + agents.of("b")))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("human=* leg=L_Knee foot=L_Ankle,L_Knee_x", "L_Knee_x belongs to leg and foot"),
        ("leg=L_Knee foot=L_Ankle", "nobody moves L_Hip_x (63 dofs"),
        ("human=* leg=L_Tail", "no joint 'L_Tail'"),
        ("human=* leg=*", "human and leg both take all others"),
        ("human=*", "two agents or more"),
        ("human=* human=L_Knee", "human is there twice"),
        ("human=* leg=", "'leg=' names no agent and joints"),
        ("human leg=*", "'human' names no agent"),
    ],
)
def test_what_is_no_partition_is_refused(text, told):
    with pytest.raises(InputError, match=r"--game\.agents") as error:
        parse_agents(text, SMPL)
    assert told in str(error.value)


def test_a_body_without_movement_is_no_agent():
    with pytest.raises(InputError, match="has no joint 'left_hand'"):
        parse_agents("human=* hand=left_hand", HUMANOID)
    with pytest.raises(InputError, match="human has nothing to move"):
        parse_agents(f"human=* all={','.join(HUMANOID.model.joint(j).name for j in range(1, 13))}", HUMANOID)


def test_an_unknown_learner_is_refused():
    with pytest.raises(InputError, match="no agent 'dog'"):
        parse_agents("", SMPL).of("dog")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=28, max_size=28).filter(lambda owners: len(set(owners)) > 1))
def test_any_partition_of_single_dofs_is_kept_and_put_in_order(owners):
    by_agent = {agent: [dof for dof in range(28) if owners[dof] == agent] for agent in sorted(set(owners))}
    names = {dof: HUMANOID.model.actuator(dof).name for dof in range(28)}
    text = " ".join(f"a{agent}={','.join(names[dof] for dof in dofs)}" for agent, dofs in by_agent.items())
    agents = parse_agents(text, HUMANOID)
    assert agents.dofs == tuple(tuple(dofs) for dofs in by_agent.values())
    joined = [dof for dofs in agents.dofs for dof in dofs]
    assert [joined[place] for place in agents.order()] == list(range(28))
