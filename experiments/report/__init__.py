"""The results table, its statistics and figures, and the HTML report."""
