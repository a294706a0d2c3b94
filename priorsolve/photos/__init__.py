"""Files of photos: read into sRGB, grey or deep pixels, searched for marks, and written with what their files said beside the pixels."""
