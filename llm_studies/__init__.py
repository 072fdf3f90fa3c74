"""LLM studies: BloomWise prompting and task priors in in-context learning."""
