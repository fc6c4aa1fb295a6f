"""The one corridor: read, identify, load samples, defend, report, write."""

from rnp_cli.pipeline.request import SanitizeRequest
from rnp_cli.pipeline.sanitize import SanitizeResult, sanitize

__all__ = ["SanitizeRequest", "SanitizeResult", "sanitize"]
