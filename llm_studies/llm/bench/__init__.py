"""How much time the runner itself takes."""
