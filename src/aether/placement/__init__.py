"""Who runs what: capacity left by every hard limit, and policies that spend it."""
