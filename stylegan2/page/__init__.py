"""A page in the browser to play with a trained network. It needs the package gradio, which is the extra `page`."""
