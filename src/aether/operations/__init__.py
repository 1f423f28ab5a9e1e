"""Launch, faults, the fleet through years, autonomy."""
