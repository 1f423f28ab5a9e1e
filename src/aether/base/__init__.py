"""What every room shares: units, tables, provenance, errors, the clock, the event search."""
