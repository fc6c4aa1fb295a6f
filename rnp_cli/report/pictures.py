"""Pictures in a report: small PNGs, as text, and what they show."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from rnp_cli.report.schema import Part

Png = Annotated[
    str,
    StringConstraints(pattern=r"^iVBORw0KGgo[A-Za-z0-9+/]*={0,2}$", max_length=2**20),
]
"""A PNG in base64, with nothing else around it."""


class StampedSample(Part):
    """A clean image, and the same with a trigger.

    before, after: classes that the model as it came, and the sanitized one, give the
    stamped image.
    """

    clean: Png
    stamped: Png
    label: int
    before: int
    after: int


class TriggerPictures(Part):
    """What a recovered trigger looks like, by itself and on some clean images."""

    on_gray: Png
    extent: Png = Field(description="where it is, and how strong")
    samples: tuple[StampedSample, ...]
