"""An in-toto Statement v1 with SLSA provenance v1, as far as rnp writes it.

in-toto Attestation Framework, "Statement layer", v1; SLSA, "Build: Provenance", v1.
What others may add to such statements is refused: one that has it is not of rnp.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from rnp_cli.provenance.canonical import canonical_bytes
from rnp_cli.report.canonical import canonical_sha256

STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = (
    "https://in-toto.io/Statement/v1"
)
PREDICATE_TYPE: Literal["https://slsa.dev/provenance/v1"] = (
    "https://slsa.dev/provenance/v1"
)
BUILDER: Literal["pkg:generic/rnp-cli"] = "pkg:generic/rnp-cli"
BUILD_TYPE: Literal["pkg:generic/rnp-cli#sanitize/v1"] = (
    "pkg:generic/rnp-cli#sanitize/v1"
)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Timestamp = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Settings = dict[str, dict[str, float | int] | float]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )


class DigestSet(_Part):
    """The digest of a file's bytes."""

    sha256: Sha256


class Subject(_Part):
    """A file that was written."""

    name: str
    digest: DigestSet


class Dependency(_Part):
    """The checkpoint, or the clean samples.

    Of a folder, the digest is that of the list of its files.
    """

    name: str
    digest: DigestSet
    annotations: dict[Literal["format"], str]


class Options(_Part):
    """The options of a run that decide its result and that its report does not hold.

    config: the knobs that --config or another option has turned.
    """

    arch: str | None = None
    max_samples: int
    method: str
    when: str
    compact: bool = False
    input_size: tuple[int, int] | None = None
    value_range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    config: Settings


class ExternalParameters(Options):
    """What the user asked for."""

    model: str
    labels: str
    samples: int
    seed: int


class InternalParameters(_Part):
    """What the tool decided by itself, its default settings among it."""

    device: str
    settings: Settings


class BuildDefinition(_Part):
    """What went into the run."""

    build_type: Literal["pkg:generic/rnp-cli#sanitize/v1"] = BUILD_TYPE
    external_parameters: ExternalParameters
    internal_parameters: InternalParameters
    resolved_dependencies: tuple[Dependency, ...] = Field(min_length=1, max_length=2)
    """The checkpoint, and the clean samples, which decide the result as well."""


class Builder(_Part):
    """Who ran it: rnp, on a machine that nothing here vouches for."""

    id: Literal["pkg:generic/rnp-cli"] = BUILDER
    version: dict[str, str]


class BuildMetadata(_Part):
    """When it ran; all that differs between two equal runs."""

    started_on: Timestamp
    finished_on: Timestamp


class RunDetails(_Part):
    """How it was run."""

    builder: Builder
    metadata: BuildMetadata


class Predicate(_Part):
    """SLSA provenance."""

    build_definition: BuildDefinition
    run_details: RunDetails

    def digest(self) -> str:
        """SHA-256 over everything but the times, as canonical JSON.

        The sanitized model carries it, and so must not depend on them.
        """
        times = {"run_details": {"metadata"}}
        content = self.model_dump(mode="json", exclude_none=True, exclude=times)
        return canonical_sha256(content)

    def whole_digest(self) -> str:
        """SHA-256 over the times, too."""
        return canonical_sha256(self.model_dump(mode="json", exclude_none=True))


class Statement(_Part):
    """Which files were written, and how they came about."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(
        STATEMENT_TYPE, alias="_type"
    )
    subject: tuple[Subject, ...]
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = PREDICATE_TYPE
    predicate: Predicate

    @model_validator(mode="after")
    def _names_each_file_once(self) -> Statement:
        if len({subject.name for subject in self.subject}) < len(self.subject):
            raise ValueError("a subject is named twice")
        return self

    def as_bytes(self) -> bytes:
        """Write it in the one form that verifies."""
        return canonical_bytes(self.model_dump(mode="json", exclude_none=True))
