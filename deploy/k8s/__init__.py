"""The Kubernetes manifests (kustomize: ``base``, ``overlays/cpu``, ``overlays/gpu``) and the rules they keep."""
