"""Function calling: what the model may ask for, and what becomes of it.

A ``ToolSet`` is made of an agent's tools. It gives the model their specifications, and turns a
call of the model's into a request that has been checked, or into a problem to tell the model.
A ``ToolGuard`` bounds one telephone call's use of tools. Both are pure. Requests are carried
out by the call's session, HTTP requests by an ``HttpToolRunner``."""
