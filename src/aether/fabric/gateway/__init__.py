"""The gateway: models of the fabric behind the interfaces that the vendors' own clients speak."""
