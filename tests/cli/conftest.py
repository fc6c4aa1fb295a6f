"""What tests of the command share beside ``rnp`` itself."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def stuck_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Masks that cannot move stay at one: no threshold is safe."""
    path = tmp_path_factory.mktemp("config") / "rnp.toml"
    path.write_text(
        "[recover]\nlearning_rate = 1e-9\nepochs = 1\n[inversion]\nsteps = 2\n"
    )
    return path
