"""How light and fibre carry bits: links, topology, routing, access from the ground, and the terrestrial twin."""
