"""Speech: emotion recognition (MEDUSA) and domain-adapted recognition (MSDA)."""
