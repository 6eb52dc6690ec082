"""Who moves which degrees of freedom of a body."""

from __future__ import annotations

import re
from dataclasses import dataclass

import mujoco
import torch
from torch import Tensor

from puffer_phc.errors import InputError
from puffer_phc.robots.robot import Robot

OTHERS = "*"
_OPTION = "--game.agents"
_LEG = re.compile(r"(l|left)[_.-]?(knee|ankle|toe)", re.IGNORECASE)
_SYNTAX = "write agent=name,name agent=*"


@dataclass(frozen=True)
class Agents:
    """The D degrees of freedom of a body, each in the hands of one agent.

    Attributes:
        names: the agents.
        dofs: their degrees of freedom, ascending.
    """

    names: tuple[str, ...]
    dofs: tuple[tuple[int, ...], ...]

    @property
    def num_dofs(self) -> int:
        """D."""
        return sum(map(len, self.dofs))

    @property
    def widest(self) -> int:
        """Most degrees of freedom that one agent has."""
        return max(map(len, self.dofs))

    def of(self, name: str) -> tuple[int, ...]:
        """What the agent ``name`` moves.

        Raises:
            InputError: there is no such agent.
        """
        if name not in self.names:
            raise InputError("--game.learner", f"no agent {name!r}", f"use one of {', '.join(self.names)}")
        return self.dofs[self.names.index(name)]

    def others(self, name: str) -> tuple[int, ...]:
        """What all agents but ``name`` move."""
        own = set(self.of(name))
        return tuple(dof for dof in range(self.num_dofs) if dof not in own)

    def order(self, device: torch.device | str = "cpu") -> Tensor:
        """(D,) places that bring the agents' actions, one agent after the other, into the order of the body."""
        return torch.tensor([dof for own in self.dofs for dof in own], device=device).argsort()


def dof_names(robot: Robot) -> dict[str, tuple[int, ...]]:
    """Degrees of freedom by the names of single ones, of joints and of bodies."""
    model = robot.model
    names: dict[str, tuple[int, ...]] = {}
    bodies: dict[str, tuple[int, ...]] = {}
    for number in range(model.njnt):
        joint = model.joint(number)
        if joint.type[0] == mujoco.mjtJoint.mjJNT_FREE:
            continue
        first = int(joint.dofadr[0]) - 6
        ball = joint.type[0] == mujoco.mjtJoint.mjJNT_BALL
        own = tuple(range(first, first + (3 if ball else 1)))
        if ball:
            names |= {f"{joint.name}_{axis}": (dof,) for axis, dof in zip("xyz", own, strict=True)}
        names[joint.name] = own
        body = model.body(int(joint.bodyid[0])).name
        bodies[body] = bodies.get(body, ()) + own
    return bodies | names  # where a joint and a body share a name, the joint is meant


def default_agents(robot: Robot) -> str:
    """A human with a prosthesis below the left hip, as ``game.agents`` writes it.

    Raises:
        InputError: the robot names no such joints.
    """
    joints = [robot.model.joint(number).name for number in range(robot.model.njnt)]
    leg = [name for name in joints if _LEG.match(name)]
    if not leg:
        raise InputError(_OPTION, f"{robot.name} names no left knee or ankle", "name the prosthesis's joints")
    return f"human={OTHERS} prosthesis={','.join(leg)}"


def parse_agents(text: str, robot: Robot) -> Agents:
    """The agents that ``text`` (``human=* prosthesis=L_Knee,L_Ankle``) names; an empty one is :func:`default_agents`.

    Raises:
        InputError: a name is unknown, or a degree of freedom belongs to two agents or to none.
    """
    known = dof_names(robot)
    owners: dict[int, str] = {}
    rest = ""
    given = dict(_agents(text or default_agents(robot)))
    for agent, names in given.items():
        for name in names:
            if name == OTHERS:
                if rest:
                    raise InputError(_OPTION, f"{rest} and {agent} both take all others (*)", "let one of them")
                rest = agent
                continue
            if name not in known:
                wanted = ", ".join(list(known)[:6])
                raise InputError(_OPTION, f"{robot.name} has no joint {name!r}", f"use names such as {wanted}")
            for dof in known[name]:
                if dof in owners:
                    raise InputError(_OPTION, f"{name} belongs to {owners[dof]} and {agent}", "name it once")
                owners[dof] = agent
    free = [dof for dof in range(robot.num_dofs) if dof not in owners]
    if free and not rest:
        single = next(name for name, dofs in known.items() if dofs == (free[0],))
        raise InputError(_OPTION, f"nobody moves {single} ({len(free)} dofs in all)", f"give one agent {OTHERS}")
    owners |= dict.fromkeys(free, rest)
    dofs = tuple(tuple(sorted(dof for dof, owner in owners.items() if owner == agent)) for agent in given)
    for agent, own in zip(given, dofs, strict=True):
        if not own:
            raise InputError(_OPTION, f"{agent} has nothing to move", "give it a joint or leave it out")
    return Agents(tuple(given), dofs)


def _agents(text: str) -> list[tuple[str, list[str]]]:
    """Agents and the names they are given."""
    found: list[tuple[str, list[str]]] = []
    for part in re.sub(r"\s*([,=])\s*", r"\1", text.strip()).split():
        agent, equals, names = part.partition("=")
        if not equals or not agent or not all(names.split(",")):
            raise InputError(_OPTION, f"{part!r} names no agent and joints", _SYNTAX)
        if agent in [name for name, _ in found]:
            raise InputError(_OPTION, f"{agent} is there twice", _SYNTAX)
        found.append((agent, names.split(",")))
    if len(found) < 2:
        raise InputError(_OPTION, "a game takes two agents or more", _SYNTAX)
    return found
