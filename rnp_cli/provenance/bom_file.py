"""What a BOM of rnp says of the files beside it; it is read without any library."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_MODEL = "machine-learning-model"


class _Part(BaseModel):
    """The rest of a BOM is of no use here: the statement holds the digest of all."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Hash(_Part):
    """A digest."""

    alg: str
    content: str


class _Hashed(_Part):
    hashes: tuple[Hash, ...] = ()

    @property
    def sha256(self) -> str | None:
        """The digest of the bytes, or None."""
        return next((h.content for h in self.hashes if h.alg == "SHA-256"), None)


class Reference(_Hashed):
    """Another file."""

    type: str


class Ancestor(_Hashed):
    """The checkpoint."""


class Pedigree(_Part):
    """What a model was made from."""

    ancestors: tuple[Ancestor, ...] = ()


class Component(_Hashed):
    """A sanitized model."""

    type: str
    name: str
    pedigree: Pedigree = Pedigree()
    references: tuple[Reference, ...] = Field((), alias="externalReferences")

    @property
    def checkpoint_sha256(self) -> str | None:
        """The digest of what it was made from, or None."""
        return next((a.sha256 for a in self.pedigree.ancestors), None)

    @property
    def report_sha256(self) -> str | None:
        """The digest of its report, or None."""
        return next((r.sha256 for r in self.references if r.type == "evidence"), None)


class BomFile(_Part):
    """A CycloneDX BOM."""

    format: Literal["CycloneDX"] = Field(alias="bomFormat")
    components: tuple[Component, ...]

    def model_of(self, name: str) -> Component | None:
        """Return the model of that name, or None."""
        models = (c for c in self.components if c.type == _MODEL and c.name == name)
        return next(models, None)
