"""The live fabric: real jobs on ships and ground sites, with a store beneath that loses nothing."""
