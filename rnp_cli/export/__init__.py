"""Write sanitized models; each writer checks what it wrote."""
