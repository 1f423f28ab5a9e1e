"""One scenario file: the only description of what is simulated, proven or run."""
