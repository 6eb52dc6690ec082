"""Our environments in Gymnasium's registry: an id is a list of ini files over the defaults.

``import puffer_phc`` registers them, and so does the module part of an id, ``puffer_phc:puffer_phc/HumanoidPHC-v0``;
Gymnasium 1.0 no longer looks for plugins by itself. Nothing heavier than Gymnasium is imported here.
"""

from __future__ import annotations

from pathlib import Path

NAMESPACE = "puffer_phc"
RECIPES: dict[str, tuple[str, ...]] = {
    "HumanoidPHC-v0": (),
    "HumanoidAMP-v0": ("amp.ini",),
    "HumanoidDeepMimic-v0": ("deepmimic.ini",),
}
"""Name, without namespace, and the files of ``configs/`` it is made of."""

_CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def register() -> None:
    """Register every recipe whose files are there; a second call changes nothing."""
    import gymnasium

    for name, files in RECIPES.items():
        identifier = f"{NAMESPACE}/{name}"
        paths = [_CONFIGS / file for file in files]
        if identifier in gymnasium.registry or not all(path.is_file() for path in paths):
            continue
        gymnasium.register(
            id=identifier,
            entry_point="puffer_phc.envs.gym:HumanoidPHCEnv",
            vector_entry_point="puffer_phc.envs.gym:HumanoidPHCVectorEnv",
            kwargs={"recipe": [str(path) for path in paths]},
        )
