"""Hold a sanitized model and the files beside it against one another."""

from rnp_cli.verifying.verify import verify

__all__ = ["verify"]
