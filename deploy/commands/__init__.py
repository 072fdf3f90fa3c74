"""One class per command; ``deploy.cli`` names them."""
