"""Pre-training of the compact encoders that MEDUSA's served ensembles may read."""
