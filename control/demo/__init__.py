"""The demonstration: a scripted caller telephones an agent, and the conversation is shown."""
