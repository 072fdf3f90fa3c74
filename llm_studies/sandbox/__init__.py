"""Runs programmes that a language model wrote, each in a process of its own that can do nothing but compute."""
