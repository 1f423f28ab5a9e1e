"""What a run leaves behind: tables, a summary, a report."""
