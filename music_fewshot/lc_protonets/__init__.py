"""LC-Protonets (arXiv 2409.11264): few-shot tags by nearest prototype over label combinations, exact and fast."""
