"""Fast feedforward networks (arXiv 2308.14711) with load balancing and a master leaf (arXiv 2405.16836)."""
