"""Readers of data sets with texts: retrieval, captioning, question answering."""
