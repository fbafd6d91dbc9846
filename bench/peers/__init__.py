"""Other ways to do what Bessemer does, each in an environment of its own."""
