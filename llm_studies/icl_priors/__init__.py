"""Task priors in in-context learning (arXiv 2403.17125, 2410.13776): what a prompt keeps of what a model already holds."""
