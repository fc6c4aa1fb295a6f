"""What ``speed.py`` measures: networks, counts, the floor, and the authors' way."""
