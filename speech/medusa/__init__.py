"""MEDUSA: emotion in speech from an ensemble of deeply fused streams, trained in four stages."""
