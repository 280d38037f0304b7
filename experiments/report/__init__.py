"""Results table, statistics, figures, and the Markdown and HTML reports."""
