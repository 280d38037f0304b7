"""Commands on results: tables, comparisons, stores of stages and scores."""
