"""What every domain shares: running graphs, HTTP, the model repository, training, export, claims."""
