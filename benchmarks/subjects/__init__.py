"""What the benchmarks are run on: models whose attacks are known, and measurable."""

from subjects.subject import Subject
from subjects.third_party import third_party_subjects
from subjects.zoo_models import zoo_subjects

__all__ = ["Subject", "third_party_subjects", "zoo_subjects"]
