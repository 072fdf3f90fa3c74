"""Streams: what DeepSER reads of a recording and of its transcript."""
