"""The turn-taking machine. Pure: time is an input, actions are outputs."""
