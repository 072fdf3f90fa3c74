"""Tag sets: what they are, how they are kept, edited and asked."""
