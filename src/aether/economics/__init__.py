"""Money and carbon: what capacity costs a year, with ranges, thresholds, and one boundary for orbit and ground."""
