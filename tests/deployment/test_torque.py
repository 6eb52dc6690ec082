"""Reports of joint torques."""

from puffer_phc.deployment.torque import Torque, torque_lines, worst_torque


def test_of_several_performances_the_worst_counts():
    calm = Torque(mean=2.0, peak=30.0, peak_dof="knee", limited=2, over=0.2, over_dof="ankle")
    wild = Torque(mean=4.0, peak=90.0, peak_dof="hip", limited=2, over=0.1, over_dof="knee")
    both = worst_torque([calm, wild])
    assert both == Torque(3.0, 90.0, "hip", 2, 0.2, "ankle")
    assert torque_lines(both) == [
        "  joint torque: mean 3.0 N m, largest 90 N m (hip)",
        "  at or above the torque limit: 20.0% of the time (ankle, the worst joint)",
    ]


def test_a_robot_without_limits_says_so():
    assert torque_lines(Torque(1.0, 2.0, "knee", 0, 0.0, ""))[1] == "  this robot has no torque limits"
