"""Run ``rnp`` as ``python -m rnp_cli``."""

from rnp_cli.cli import main

if __name__ == "__main__":
    main()
