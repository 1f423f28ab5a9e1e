"""The live fabric: real jobs on ships and ground sites, under the same placement as the simulation."""
