"""The sky and the ships in it: orbits, light, attitude, power, heat, radiation, drag and sizing."""
