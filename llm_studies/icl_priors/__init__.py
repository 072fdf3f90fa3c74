"""Task priors in in-context learning (arXiv 2403.17125, 2410.13776): what of a reply was there before the prompt."""
