"""Policies outside of training: export, and a check of the exported folder that needs none of the training code."""
