"""Blocks, embeddings and heads that ``wiring.AutoCompressing`` wires; none of them knows the mode."""
