"""The two-agent game: several agents, such as a human and a prosthesis, move one body; see ``docs/game.md``."""
