"""The method: unlearn, recover, prune. Modules and tensors in, frozen results out."""
