"""The composition root: the one app, the command line, benches, deployment."""
