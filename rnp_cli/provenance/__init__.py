"""Where a sanitized model came from: an in-toto statement, and a CycloneDX BOM."""
