"""Where a model lies, as the URI that SARIF takes."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def uri_of(model: Path) -> str:
    """Write the way from the working directory, or a file URI where it is not below.

    Links on the way are followed, but not the model's own. SARIF 2.1.0, 3.4.3, takes
    both; code scanning resolves the first against the top of the repository.
    """
    here = Path.cwd().resolve()
    place = model.parent.resolve() / model.name
    if place.is_relative_to(here):
        return quote(os.fsencode(place.relative_to(here).as_posix()))
    return place.as_uri()
