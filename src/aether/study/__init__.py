"""Many runs of the engine: the run with its ablation and report, validation, benchmarks."""
