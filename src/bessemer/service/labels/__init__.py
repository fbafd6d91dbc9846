"""What people say of texts: campaigns, who is asked what, what became of it."""
