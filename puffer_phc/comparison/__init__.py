"""Our learner beside Stable-Baselines3's, on Gymnasium's Humanoid and on our own task."""
