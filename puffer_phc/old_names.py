"""Options of programs that people come from, and what they are called here; ``docs/migration.md`` is the long form."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from puffer_phc.errors import InputError

PUFFER, MIMICKIT, ISAAC = "puffer-phc", "MimicKit", "IsaacGymEnvs"

OLD_NAMES: dict[str, tuple[str, str]] = {
    # puffer-phc and PHC
    "total_timesteps": (PUFFER, "--train.total_steps"),
    "update_epochs": (PUFFER, "--train.epochs"),
    "clip_coef": (PUFFER, "--train.clip"),
    "vf_coef": (PUFFER, "--train.value_coef"),
    "vf_clip_coef": (PUFFER, "--train.value_clip"),
    "ent_coef": (PUFFER, "--train.entropy_coef"),
    "bounds_loss_coef": (PUFFER, "--train.bound_coef"),
    "l2_reg_coef": (PUFFER, "--train.l2_init_coef"),
    "bptt_horizon": (PUFFER, "--train.segment"),
    "batch_size": (PUFFER, "--train.horizon, the steps of each environment; times --env.num_envs"),
    "minibatch_size": (PUFFER, "--train.minibatches, the number of parts"),
    "anneal_lr": (PUFFER, "--train.target_kl, which steers the learning rate; 0 keeps it fixed"),
    "disc_coef": (PUFFER, "--style.loss_weight"),
    "rew_power_coef": (PUFFER, "--reward.power_coef"),
    "kp_scale": (PUFFER, "--robot.kp_scale"),
    "kd_scale": (PUFFER, "--robot.kd_scale"),
    "has_self_collision": (PUFFER, "--robot.self_collision"),
    "res_action": (PUFFER, "--env.action_mode reference"),
    "auto_pmcp": (PUFFER, "--env.adaptive, the share of starts drawn by failures"),
    "auto_pmcp_soft": (PUFFER, "--env.adaptive, the share of starts drawn by failures"),
    "motion_resample_interval": (PUFFER, "nothing: all clips are resident, none is left out"),
    "episode_length": (PUFFER, "nothing for tracking: clips are played whole; --env.episode_steps for --env.task amp"),
    "control_freq_inv": (PUFFER, "--robot.substeps, physics steps of a control step"),
    "sim_timestep": (PUFFER, "--robot.timestep"),
    "freeze_hand": (PUFFER, "nothing: hands and toes of the SMPL body are frozen"),
    "freeze_toe": (PUFFER, "nothing: hands and toes of the SMPL body are frozen"),
    "train_mode": (PUFFER, "--mode"),
    "occulusion_file": (PUFFER, "scripts/convert_amass_data.py; see its --help"),
    # MimicKit
    "motion_dir": (MIMICKIT, "--env.motion_file, which also takes folders"),
    "ctrl_dt": (MIMICKIT, "--robot.timestep and --robot.substeps"),
    "rand_reset": (MIMICKIT, "--env.state_init"),
    "pose_termination": (MIMICKIT, "--deepmimic.termination_distance"),
    "pose_termination_dist": (MIMICKIT, "--deepmimic.termination_distance"),
    "enable_phase_obs": (MIMICKIT, "--deepmimic.phase"),
    "tar_obs_steps": (MIMICKIT, "--deepmimic.tar_obs_steps"),
    "joint_err_w": (MIMICKIT, "--deepmimic.joint_weights"),
    "key_bodies": (MIMICKIT, "--deepmimic.key_bodies"),
    "actor_epochs": (MIMICKIT, "--train.epochs"),
    "critic_epochs": (MIMICKIT, "--train.critic_epochs"),
    "ppo_clip_ratio": (MIMICKIT, "--train.clip"),
    "norm_adv_clip": (MIMICKIT, "--train.advantage_clip"),
    "td_lambda": (MIMICKIT, "--train.gae_lambda"),
    "discount": (MIMICKIT, "--train.gamma"),
    "action_bound_weight": (MIMICKIT, "--train.bound_coef"),
    "action_entropy_weight": (MIMICKIT, "--train.entropy_coef"),
    "action_reg_weight": (MIMICKIT, "--train.action_coef"),
    "normalizer_samples": (MIMICKIT, "--train.norm_samples"),
    "exp_prob_beg": (MIMICKIT, "--train.exp_prob_begin"),
    "steps_per_iter": (MIMICKIT, "--train.horizon"),
    "iters_per_output": (MIMICKIT, "--train.eval_interval, in seconds"),
    "max_samples": (MIMICKIT, "--train.total_steps"),
    "task_reward_weight": (MIMICKIT, "--style.task_weight"),
    "disc_reward_weight": (MIMICKIT, "--style.style_weight"),
    "num_disc_obs_steps": (MIMICKIT, "--style.steps"),
    "out_dir": (MIMICKIT, "--output"),
    "model_file": (MIMICKIT, "--checkpoint"),
    # IsaacGymEnvs and rl_games
    "numEnvs": (ISAAC, "--env.num_envs"),
    "headless": (ISAAC, "nothing: training opens no window; --mode play does"),
    "sim_device": (ISAAC, "--device"),
    "rl_device": (ISAAC, "--device"),
    "graphics_device_id": (ISAAC, "nothing: training opens no window"),
    "max_iterations": (ISAAC, "--train.total_steps"),
    "max_epochs": (ISAAC, "--train.total_steps"),
    "horizon_length": (ISAAC, "--train.horizon"),
    "mini_epochs": (ISAAC, "--train.epochs"),
    "e_clip": (ISAAC, "--train.clip"),
    "tau": (ISAAC, "--train.gae_lambda"),
    "critic_coef": (ISAAC, "--train.value_coef"),
    "grad_norm": (ISAAC, "--train.max_grad_norm"),
    "kl_threshold": (ISAAC, "--train.target_kl"),
    "controlFrequencyInv": (ISAAC, "--robot.substeps, physics steps of a control step"),
    "stateInit": (ISAAC, "--env.state_init"),
    "hybridInitProb": (ISAAC, "--env.default_share"),
    "terminationHeight": (ISAAC, "--env.fall_height"),
    "numAMPObsSteps": (ISAAC, "--style.steps"),
    "localRootObs": (ISAAC, "--style.root heading"),
    "task_reward_w": (ISAAC, "--style.task_weight"),
    "disc_reward_w": (ISAAC, "--style.style_weight"),
    "disc_reward_scale": (ISAAC, "--style.reward_scale"),
    "disc_logit_reg": (ISAAC, "--style.logit_reg"),
    "disc_grad_penalty": (ISAAC, "--style.grad_penalty"),
    "disc_weight_decay": (ISAAC, "--style.weight_decay"),
    "amp_obs_demo_buffer_size": (ISAAC, "--style.demo_buffer"),
    "amp_replay_buffer_size": (ISAAC, "--style.replay_buffer"),
    "amp_replay_keep_prob": (ISAAC, "--style.replay_keep"),
    "amp_batch_size": (ISAAC, "--style.demo_fresh"),
    "amp_minibatch_size": (ISAAC, "--style.batch"),
}
"""By the option's last name: whose it is, and what to use here."""


def remedy(name: str) -> tuple[str, str] | None:
    """Fault and remedy of an option that another program has: ``name`` with or without sections; else None."""
    found = OLD_NAMES.get(name.removeprefix("--").rpartition(".")[2].replace("-", "_"))
    if found is None:
        return None
    owner, ours = found
    return f"is an option of {owner}", ours if ours.startswith("nothing") else f"here it is {ours}"


def refuse_old_flags(flags: Sequence[str], known: Collection[str]) -> None:
    """Tell what an option of another program is called here.

    Args:
        flags: of the command line.
        known: our own options, ``section.name`` or ``name``.

    Raises:
        InputError: one of them is such an option.
    """
    for flag in flags:
        name = flag.partition("=")[0]
        if not name.startswith("--") or name.removeprefix("--").replace("-", "_") in known:
            continue
        told = remedy(name)
        if told:
            raise InputError(name, *told)
