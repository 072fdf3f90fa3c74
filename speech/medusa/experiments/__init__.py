"""The experiments behind the claims: data sets, arms, short trainings, ensembles, statements and figures."""
