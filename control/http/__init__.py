"""HTTP and WebSocket listeners."""
