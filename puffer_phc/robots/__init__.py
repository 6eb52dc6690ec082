"""What a humanoid is: model, skeleton, gains and action map."""
