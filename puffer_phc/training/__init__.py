"""Rollout, advantage, PPO update, and the loop around them."""
