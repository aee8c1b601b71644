"""The local web app. Each module answers one question; `interface` wires them to gradio and `serve` starts the app."""
