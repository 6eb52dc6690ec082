"""Evaluations during training: all ranks together, and what makes one policy better than another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from puffer_phc.evaluation.evaluator import Evaluator, Progress
from puffer_phc.evaluation.metrics import ClipResult, summarize
from puffer_phc.evaluation.report import write_summary
from puffer_phc.evaluation.style_evaluator import (
    EpisodeResult,
    StyleEvaluator,
    episode_score,
    summarize_episodes,
    write_episodes,
)
from puffer_phc.policies.actor_critic import ActorCritic
from puffer_phc.training.distributed import World
from puffer_phc.training.run_folder import make_folder

Score = tuple[float, float]
"""Success rate and minus error, or as :func:`episode_score`: the larger, the better."""
Findings = tuple[dict[str, Any], Sequence[ClipResult] | Sequence[EpisodeResult]]
"""An evaluation's summary, and its clips or episodes."""


def confirmed(score: Score, best: Score | None, again: Callable[[], Score]) -> Score:
    """``score``, or the mean with that of evaluating ``again`` where it would be the ``best``.

    Of many evaluations the luckiest is the best: a new best must show twice what it can.
    """
    if best is not None and score <= best:
        return score
    second = again()
    return 0.5 * (score[0] + second[0]), 0.5 * (score[1] + second[1])


def score_of(summary: dict[str, Any], by_return: bool = False) -> Score:
    """What makes one policy better than another: clips followed, then closeness; :func:`episode_score` without clips.

    ``by_return`` it is the return of an episode, as MimicKit measures DeepMimic.
    """
    if by_return:
        return float(summary["test_return"]), 0.0
    if "success_rate" not in summary:
        return episode_score(summary)
    error = summary["mpjpe_all"]
    return float(summary["success_rate"] or 0.0), -float(error if error is not None else math.inf)


def play_together(
    evaluator: StyleEvaluator, policy: ActorCritic, world: World, progress: Progress | None = None
) -> tuple[dict[str, Any], list[EpisodeResult]]:
    """Play episodes on all ranks, each with luck of its own: summary and all results, for everyone."""
    parts = world.gather(evaluator.play(policy, progress, luck=world.rank))
    results = [result for part in parts for result in part]
    return summarize_episodes(results), results


def evaluate_together(
    evaluator: Evaluator, policy: ActorCritic, sharded: bool, world: World, progress: Progress | None = None
) -> tuple[dict[str, Any], list[ClipResult]]:
    """Evaluate all clips of all ranks, each its own part: summary and results in the clips' order, for everyone.

    Args:
        evaluator: of this rank.
        policy: the same on all ranks.
        sharded: the library of each rank holds only its own part of the clips.
        world: the ranks.
        progress: told of this rank's part.
    """
    own = range(evaluator.env.library.num_clips)
    if not sharded:
        own = own[world.rank :: world.size]
    parts = world.gather(evaluator.play(policy, own, progress))
    longest = max(len(part) for part in parts)
    results = [part[index] for index in range(longest) for part in parts if index < len(part)]
    return summarize(results), results


def write_findings(folder: Path, findings: Findings, extra: Mapping[str, Any], source: str) -> None:
    """Write which clips were followed, or the episodes, into ``folder``, over what is there.

    Args:
        folder: made if need be.
        findings: of a policy.
        extra: goes into the summary, too.
        source: where the clips came from.

    Raises:
        InputError: it cannot be written.
    """
    summary, results = findings
    make_folder(folder)
    clips = [result for result in results if isinstance(result, ClipResult)]
    if clips:
        write_summary(folder, summary, clips, extra, source=source)
    else:
        write_episodes(folder, summary, [result for result in results if isinstance(result, EpisodeResult)], extra)
