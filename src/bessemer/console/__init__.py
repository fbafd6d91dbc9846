"""The console door: pages for people, in rooms, behind a session."""
