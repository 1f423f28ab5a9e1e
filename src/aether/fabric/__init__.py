"""The live fabric: the engine with a wall clock, a store beneath it and ship runtimes around it."""
