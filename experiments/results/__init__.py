"""Results of a work directory, gathered for its table and pages: scores, certificates and pictures."""
