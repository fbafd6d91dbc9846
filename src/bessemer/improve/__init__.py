"""The verb `improve`: what to label next, and when to stop."""
