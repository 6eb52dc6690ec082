"""The evaluation protocol, its metrics and its reports."""
