"""Hyperparameter search: search spaces, a Gaussian process, Pareto fronts and CARBS as an Optuna sampler."""
