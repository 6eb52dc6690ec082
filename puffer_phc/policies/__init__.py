"""Networks and observation normalisation."""
