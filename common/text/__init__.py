"""Labelled texts: from words to a graph's numbers and back (``features``, free of torch), and what learns from them."""
