"""What a person does with body and hands: one module a kind of movement, one table of classes."""
