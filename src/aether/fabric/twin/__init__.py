"""The twin beside the fabric: the engine by the fabric's clock, in a process of its own."""
