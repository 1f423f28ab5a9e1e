"""The ordered list of functions: the only room that knows the order of the stages."""
