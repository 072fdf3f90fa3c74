"""Rendered scores: a corpus of short clips whose tags are certain, because we chose what plays.

Scores of the music21 corpus and tunes made here become MIDI, FluidSynth makes them sound. Reading order: tune, scores,
reading, made, tags, arrange, midi, synth, presets, plan, manifest, corpus. (Specification: sections 4.2 and 5.1.)
"""
