"""The local web app: what it computes, one question a module; `interface` wires it to gradio, `serve` starts it."""
