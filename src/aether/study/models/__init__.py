"""The models that `aether validate` knows: a stage's function under a name, with units at the door."""

from aether.study.models import earth, fleet, mass, money, serving, training

__all__ = ["earth", "fleet", "mass", "money", "serving", "training"]
