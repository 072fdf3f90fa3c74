"""One module per version of the tables, named for what it adds. A published one is never changed."""
