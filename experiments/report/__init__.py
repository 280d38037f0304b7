"""Tables, figures, and the Markdown, HTML and LaTeX reports of a results table."""
