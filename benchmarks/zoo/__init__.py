"""The project's own backdoored models: published attacks, trained on real images."""
