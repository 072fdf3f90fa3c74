"""The supervised reference of the in-context studies: a small label-aware encoder, trained here from nothing."""
