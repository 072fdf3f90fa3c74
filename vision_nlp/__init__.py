"""Vision and language: ACN, FFF/eFFF, PowMix, DeepMLF."""
